"""What the frameworks do not show: streams, handshakes, clients who leave, and failures, by bare ASGI messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ratelimitd.client import CheckError, HttpClient, Request, Verdict
from ratelimitd.client.asgi import RateLimitMiddleware

from .limiter import Limiter

ALLOW = Verdict(allowed=True, status=200, headers=(("ratelimit", '"a";r=1;t=1'),))
DENY = Verdict(allowed=False, status=429, reason="over_limit", headers=(("retry-after", "7"),))


class Client:
    """Answers by `verdict`, keeps what it was asked."""

    def __init__(self, verdict: Verdict | Exception = ALLOW) -> None:
        self.verdict = verdict
        self.asked: list[Request] = []

    async def check(self, request: Request) -> Verdict:
        self.asked.append(request)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def scope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"q=1",
        "headers": [(b"host", b"shop.example"), (b"transfer-encoding", b"chunked")],
        "client": ("10.0.0.1", 1234),
        **changes,
    }


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it read, piece by piece."""
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"|".join(pieces)})


def receiving(*messages: Any) -> Callable[[], Awaitable[Any]]:
    """Then waits, as a server does."""
    left = list(messages)

    async def receive() -> Any:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def run(middleware: RateLimitMiddleware, of: Any, *messages: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(middleware(of, receiving(*messages), send), 10))
    return sent


def test_requests_are_told_as_they_came() -> None:
    client = Client()
    headers = [(b"host", b"a.example"), (b"x-a", b"1"), (b"X-A", b"\xff"), (b"content-length", b"3")]
    middleware = RateLimitMiddleware(
        echo, client, on_error="deny", domain="shop", attributes=lambda s: {"plan": s["path"]}
    )
    sent = run(middleware, scope(headers=headers), piece(b"abc", False))
    assert client.asked == [
        Request(
            method="POST",
            path="/a%20b?q=1",
            source_address="10.0.0.1",
            host="a.example",
            scheme="http",
            headers=[(n.decode(), v) for n, v in headers],
            body=b"abc",
            attributes={"plan": "/a b"},
            domain="shop",
        )
    ]
    assert sent[0]["headers"] == [(b"a", b"b"), (b"ratelimit", b'"a";r=1;t=1')]
    assert sent[1]["body"] == b"abc"


def test_pieces_go_on_as_they_came_and_only_the_beginning_is_sent_along() -> None:
    client = Client()
    middleware = RateLimitMiddleware(echo, client, on_error="deny", body_limit=5)
    sent = run(middleware, scope(), piece(b"abc"), piece(b"defg"), piece(b"h"), piece(b"", False))
    assert (client.asked[0].body, client.asked[0].partial_body) == (b"abcde", True)
    assert sent[1]["body"] == b"abc|defg|h|"


@pytest.mark.parametrize(("limit", "partial"), [(2, True), (3, False), (4, False)])
def test_a_body_is_whole_when_its_end_was_seen(limit: int, partial: bool) -> None:
    client = Client()
    run(RateLimitMiddleware(echo, client, on_error="deny", body_limit=limit), scope(), piece(b"abc"), piece(b"", False))
    assert client.asked[0].partial_body is partial


def test_a_stream_that_waits_for_its_answer_is_not_held_up() -> None:
    """The client sends more only when it has seen a first answer: a read-ahead must give in."""
    client = Client()
    sent: list[Any] = []
    answered = asyncio.Event()

    async def receive() -> Any:
        if not client.asked and not sent and not receive.begun:  # type: ignore[attr-defined]
            receive.begun = True  # type: ignore[attr-defined]
            return piece(b"hello")
        await answered.wait()
        return piece(b"bye", False)

    receive.begun = False  # type: ignore[attr-defined]

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.start":
            answered.set()

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        first = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        second = await receive()
        await send({"type": "http.response.body", "body": first["body"] + b" " + second["body"]})

    middleware = RateLimitMiddleware(talk, client, on_error="deny", body_seconds=0.05)
    asyncio.run(asyncio.wait_for(middleware(scope(), receive, send), 10))
    assert sent[-1]["body"] == b"hello bye"
    assert (client.asked[0].body, client.asked[0].partial_body) == (b"hello", True)


def test_no_body_is_waited_for_where_none_can_come() -> None:
    client = Client()
    for headers in ([(b"content-length", b"0")], [(b"host", b"a")]):
        run(RateLimitMiddleware(_answer, client, on_error="deny"), scope(method="GET", headers=headers))
    run(RateLimitMiddleware(_answer, client, on_error="deny", body_limit=0), scope())
    assert [(a.body, a.partial_body) for a in client.asked] == [(None, False)] * 3


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_http2_need_not_announce_a_body() -> None:
    """Else a body without a length would be a way past the scan."""
    client = Client()
    run(
        RateLimitMiddleware(echo, client, on_error="deny"),
        scope(http_version="2", method="GET", headers=[]),
        piece(b"evil", False),
    )
    assert client.asked[0].body == b"evil"


def test_who_left_is_not_counted() -> None:
    client = Client()
    assert run(RateLimitMiddleware(echo, client, on_error="deny"), scope(), {"type": "http.disconnect"}) == []
    assert client.asked == []


def test_denials() -> None:
    start, body = run(RateLimitMiddleware(echo, Client(DENY), on_error="deny"), scope(), piece(b"", False))
    assert start["status"] == 429
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"7"
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["status"] == 429


@pytest.mark.parametrize(
    ("error", "on_error", "status"),
    [
        (CheckError("a", "UNAVAILABLE", "gone"), "allow", 200),
        (CheckError("a", "UNAVAILABLE", "gone"), "deny", 503),
        (CheckError("a", "INVALID_ARGUMENT", "odd"), "allow", 400),
        (CheckError("a", "TOO_LARGE", "large"), "allow", 413),
        (RuntimeError("a fault of ours"), "allow", 503),
    ],
    ids=str,
)
def test_failures(error: Exception, on_error: Any, status: int) -> None:
    start, body = run(RateLimitMiddleware(echo, Client(error), on_error=on_error), scope(), piece(b"", False))
    assert start["status"] == status
    assert b"gone" not in body["body"]
    assert b"fault" not in body["body"]


def test_a_blocking_client_does_not_block_the_loop(limiter: Limiter) -> None:
    client = HttpClient(limiter.http)
    start, _ = run(RateLimitMiddleware(echo, client, on_error="deny"), scope(), piece(b"", False))
    assert start["status"] == 200


@pytest.mark.parametrize("able", [True, False])
def test_websockets_are_checked_at_the_handshake(able: bool) -> None:
    async def accept(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})

    extensions = {"websocket.http.response": {}} if able else {}
    of = scope(type="websocket", scheme="wss", extensions=extensions)
    del of["method"]
    client = Client()
    connect = {"type": "websocket.connect"}
    assert run(RateLimitMiddleware(accept, client, on_error="deny"), of, connect) == [{"type": "websocket.accept"}]
    assert (client.asked[0].method, client.asked[0].scheme) == ("GET", "https")
    sent = run(RateLimitMiddleware(accept, Client(DENY), on_error="deny"), of, connect)
    if able:
        assert [(m["type"], m.get("status")) for m in sent] == [
            ("websocket.http.response.start", 429),
            ("websocket.http.response.body", None),
        ]
    else:
        assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_rest_of_asgi_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    client = Client(DENY)
    middleware = RateLimitMiddleware(app, client, on_error="deny", exempt="/healthz")
    run(middleware, {"type": "lifespan"})
    run(middleware, scope(path="/healthz"))
    assert len(seen) == 2
    assert client.asked == []


def test_settings_are_checked() -> None:
    for bad in (
        {"on_error": "raise"},
        {"on_error": "deny", "trusted_hops": -1},
        {"on_error": "deny", "body_limit": -1},
    ):
        with pytest.raises(ValueError, match="must be"):
            RateLimitMiddleware(echo, Client(), **bad)
