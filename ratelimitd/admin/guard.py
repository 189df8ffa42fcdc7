"""Who may ask. Where tokens are set, who bears one; /healthz and /readyz answer anybody, for probes, but say little.

Where none are, the guard keeps web pages in an operator's browser away from an endpoint that trusts its network.
A page can make a browser send requests here (CSRF), and can rebind its own name to 127.0.0.1 to read the answers (DNS
rebinding). The first carries a foreign Origin, the second a Host that is a foreign name. So the Host must be an
address, localhost or this machine's name, and a request that changes something must not come from another origin. A
remote admin address (--admin-allow-remote) is scraped under service names, so there any Host may read.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimitd.admin.answer import refusal
from ratelimitd.errors import SettingsError

SAFE = ("GET", "HEAD", "OPTIONS")
PROBES = ("/healthz", "/readyz")
KNOWN = "ratelimitd.known"  # in a scope: False for a request without the token that is needed for all else
MIN_TOKEN = 16
MAX_TOKEN_BYTES = 64 << 10


def unauthorized(*, wrong: bool) -> Response:
    """401 by RFC 6750: who showed nothing is told the scheme, who showed a wrong token that it is wrong."""
    error = "this token is not known" if wrong else "the admin port needs a token"
    response = refusal(401, error, "Authorization: Bearer TOKEN, with a token of --admin-token-file")
    response.headers["www-authenticate"] = 'Bearer realm="ratelimitd"' + (', error="invalid_token"' if wrong else "")
    return response


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


class Tokens:
    """The tokens of a file, one a line; read again when it changes. Raises SettingsError when there is none at first:
    later the last good ones stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said: tuple[int, ...] = ()  # what stat says of the file
        self._digests: list[bytes] = []
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise SettingsError(f"--admin-token-file {path}: {getattr(error, 'strerror', None) or error}") from None

    def _read(self) -> None:
        found = self._path.stat()
        said = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if said == self._said:
            return
        lines = [line.strip() for line in self._path.read_bytes()[:MAX_TOKEN_BYTES].splitlines() if line.strip()]
        if not lines:
            raise ValueError("it has no token")
        if any(len(line) < MIN_TOKEN for line in lines):
            raise ValueError(f"a token has at least {MIN_TOKEN} characters; `openssl rand -hex 32` makes one")
        self._said, self._digests = said, [hashlib.sha256(line).digest() for line in lines]

    def knows(self, token: bytes) -> bool:
        """In a time that does not depend on how much of it is right."""
        with contextlib.suppress(OSError, ValueError):
            self._read()
        digest = hashlib.sha256(token).digest()
        found = False
        for one in self._digests:
            found |= hmac.compare_digest(digest, one)
        return found


def bearer(headers: Headers) -> bytes | None:
    """The token of Authorization: Bearer (RFC 6750 2.1). None: there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" and token.strip() else None


def is_known(scope: Mapping[str, Any]) -> bool:
    """May this request be told everything?"""
    return bool(scope.get(KNOWN, True))


class Guard:
    """ASGI middleware. With `tokens` they are needed whatever the address."""

    def __init__(self, app: ASGIApp, *, remote: bool, tokens: Tokens | None = None) -> None:
        self._app = app
        self._remote = remote
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if self._tokens is not None:
                token = bearer(headers)
                if token is not None and self._tokens.knows(token):
                    return await self._app(scope, receive, send)  # no page of another origin has it
                if scope["path"] not in PROBES or token is not None:
                    return await unauthorized(wrong=token is not None)(scope, receive, send)
                scope = {**scope, KNOWN: False}
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
