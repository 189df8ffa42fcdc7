"""Pure-ASGI middleware: requests and WebSocket handshakes are checked before the application sees them.

    app.add_middleware(RateLimitMiddleware, client=AsyncClient("limiter:8081"), on_error="allow", trusted_hops=1)

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, Literal, Protocol

from ratelimitd.client import denial
from ratelimitd.client.address import Headers
from ratelimitd.client.guard import BODY_LIMIT, Guard, encoded, first
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Asks(Protocol):
    """AsyncClient or AsyncHttpClient; Client and HttpClient are called in a thread."""

    def check(self, request: Request, /) -> Any: ...


class RateLimitMiddleware:
    """Denied requests are answered (429, 403); the others go on, and their responses get RateLimit fields.

    `on_error`: without a verdict "allow", or "deny" (503). `trusted_hops`: proxies of ours before this server, such as
    1 behind a load balancer; 0: none; None: leave it to the policy's `client`. `body_limit`: bytes of a body that are
    read ahead and sent along, 0: none; what has not come within `body_seconds` is left out, and said so, so that
    requests that stream keep streaming. `attributes`: what only the application knows, from the scope. `exempt`: paths
    that are not checked, such as that of health checks.
    """

    def __init__(
        self,
        app: App,
        client: Asks,
        *,
        on_error: Literal["allow", "deny"],
        trusted_hops: int | None = None,
        body_limit: int = BODY_LIMIT,
        body_seconds: float = 1.0,
        domain: str = "",
        attributes: Callable[[Scope], Mapping[str, str]] | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        self.app = app
        self._client = client
        self._asynchronous = inspect.iscoroutinefunction(client.check)
        self._guard = Guard(on_error, trusted_hops, body_limit, domain, exempt)
        self._body_seconds = body_seconds
        self._attributes = attributes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._guard.exempt:
            await self.app(scope, receive, send)
            return
        ahead = _Ahead(receive)
        try:
            body, partial = await self._body(scope, ahead)
            if ahead.gone:
                return
            verdict = await self._verdict(scope, body, partial)
            if verdict.allowed:
                await self.app(scope, ahead, _with_fields(send, verdict))
            elif scope["type"] == "http":
                await _deny(send, "http.response", verdict)
            else:
                await _refuse(scope, receive, send, verdict)
        finally:
            ahead.close()

    async def _body(self, scope: Scope, ahead: _Ahead) -> tuple[bytes | None, bool]:
        if scope["type"] == "websocket" or not self._guard.body_limit or not _has_body(scope):
            return None, False
        await ahead.read(self._guard.body_limit, self._body_seconds)
        body = ahead.body()
        return body[: self._guard.body_limit], not ahead.whole or len(body) > self._guard.body_limit

    async def _verdict(self, scope: Scope, body: bytes | None, partial: bool) -> Verdict:
        try:
            request = self._request(scope, body, partial)
            if self._asynchronous:
                verdict: Verdict = await self._client.check(request)
            else:
                verdict = await asyncio.to_thread(self._client.check, request)
        except Exception as error:
            return self._guard.failed(error)
        return verdict

    def _request(self, scope: Scope, body: bytes | None, partial: bool) -> Request:
        query = scope.get("query_string") or b""
        path = scope.get("raw_path") or scope["path"].encode()
        peer = scope.get("client")
        return self._guard.request(
            method=scope.get("method", "GET"),
            path=encoded(path + b"?" + query if query else path),
            peer=peer[0] if peer else "",
            scheme=scope.get("scheme", "http"),
            headers=[(name.decode("latin-1"), bytes(value)) for name, value in scope["headers"]],
            body=body,
            partial_body=partial,
            attributes=self._attributes(scope) if self._attributes else {},
        )


class _Ahead:
    """The receive of the application: first what was read ahead, then what comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()
        self._waiting: asyncio.Future[Message] | None = None
        self.whole = False  # the end of the body has come
        self.gone = False  # the client has left

    async def read(self, limit: int, seconds: float) -> None:
        """Until the body ends, has more than `limit` bytes, or that long. The last receive may go on waiting."""
        deadline = asyncio.get_running_loop().time() + seconds
        size = 0
        while size <= limit and not self.whole:
            self._waiting = asyncio.ensure_future(self._receive())
            left = deadline - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({self._waiting}, timeout=max(left, 0))
            if not done:
                return
            message = self._waiting.result()
            self._waiting = None
            self._messages.append(message)
            if message["type"] != "http.request":
                self.gone = True
                return
            size += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)

    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self._messages)

    async def __call__(self) -> Message:
        if self._messages:
            return self._messages.popleft()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            return await waiting
        return await self._receive()

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


def _has_body(scope: Scope) -> bool:
    """May a body follow? HTTP/1.1 says so in the headers (RFC 9112, 6.3), later versions need not."""
    headers: Headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
    if first(headers, "transfer-encoding"):
        return True
    length = first(headers, "content-length")
    return length != "0" if length else not str(scope.get("http_version", "1.1")).startswith("1")


def _with_fields(send: Send, verdict: Verdict) -> Send:
    fields = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in verdict.headers]
    if not fields:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *fields]}
        await send(message)

    return sending


async def _deny(send: Send, kind: str, verdict: Verdict) -> None:
    body = denial.body(verdict)
    headers = [(n.encode("latin-1"), v.encode("latin-1", "replace")) for n, v in denial.headers(verdict, body)]
    await send({"type": f"{kind}.start", "status": denial.status(verdict), "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def _refuse(scope: Scope, receive: Receive, send: Send, verdict: Verdict) -> None:
    """Answers a handshake as a request where the server can do that, else closes it, which clients see as a 403."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await _deny(send, "websocket.http.response", verdict)
    else:
        await send({"type": "websocket.close", "code": 1008})
