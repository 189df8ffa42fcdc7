"""The edge plane: asks a ratelimitd whether a request may pass. Of ours it imports the generated messages only.

    from ratelimitd.client import HttpClient, Request

    client = HttpClient("127.0.0.1:8081")
    verdict = client.check(Request(method="GET", path="/a?id=1", source_address="203.0.113.7"))
    if not verdict.allowed:
        ...

`HttpClient` and `AsyncHttpClient` need nothing but the standard library; `Client` and `AsyncClient` speak gRPC. Doors
for whole applications stand in `aws` (Lambda authorizers, functions behind an ALB), `asgi` and `wsgi`. What is not
asked for is not imported: gRPC costs a cold start more than all the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ratelimitd.client.outcome import CheckError, OnError
from ratelimitd.client.request import Request
from ratelimitd.client.response import Response
from ratelimitd.client.verdict import LimitState, RuleMatch, Verdict

if TYPE_CHECKING:
    from ratelimitd.client.channel import AsyncClient, Client
    from ratelimitd.client.http import HttpClient
    from ratelimitd.client.http_async import AsyncHttpClient

__all__ = [
    "AsyncClient",
    "AsyncHttpClient",
    "CheckError",
    "Client",
    "HttpClient",
    "LimitState",
    "OnError",
    "Request",
    "Response",
    "RuleMatch",
    "Verdict",
]

_LATER = {"AsyncClient": "channel", "AsyncHttpClient": "http_async", "Client": "channel", "HttpClient": "http"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
