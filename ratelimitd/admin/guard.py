"""Who may ask: keeps web pages in an operator's browser away from an endpoint that trusts its network.

A page can make a browser send requests here (CSRF), and can rebind its own name to 127.0.0.1 to read the answers (DNS
rebinding). The first carries a foreign Origin, the second a Host that is a foreign name. So the Host must be an
address, localhost or this machine's name, and a request that changes something must not come from another origin. A
remote admin address (--admin-allow-remote) is scraped under service names, so there any Host may read.
"""

from __future__ import annotations

import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimitd.admin.answer import refusal

SAFE = ("GET", "HEAD", "OPTIONS")


def host_name(authority: str) -> str:
    """ "[::1]:6070" -> "::1", "localhost:6070" -> "localhost" """
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.rpartition(":")[0] if authority.count(":") == 1 else authority


def is_own(authority: str) -> bool:
    """Does this Host name us without the help of the domain name system?"""
    name = host_name(authority).lower().rstrip(".")
    if name in ("", "localhost", socket.gethostname().lower()) or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host", "")


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, remote: bool) -> None:
        self._app = app
        self._remote = remote

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            safe = scope["method"] in SAFE
            if not (safe and self._remote) and not is_own(headers.get("host", "")):
                hint = "ask by address, for example http://127.0.0.1:6070/"
                return await refusal(403, f"host {headers.get('host')!r} is not this server", hint)(
                    scope, receive, send
                )
            if not safe and not same_origin(headers):
                hint = "changes are made from the command line: curl -X DELETE ..."
                return await refusal(403, "a page of another origin may not change anything", hint)(
                    scope, receive, send
                )
        return await self._app(scope, receive, send)
