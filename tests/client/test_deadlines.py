"""A deadline is that of the whole call, however slowly its server reads, writes, shakes hands or comes and goes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from ratelimitd.client import AsyncHttpClient, CheckError, Request
from ratelimitd.client.asgi import RateLimitMiddleware

from .asking import HTTP, ask
from .limiter import Limiter

TIMEOUT = 0.25
STEP = TIMEOUT / 5  # far below the deadline: a timeout for each read would never strike
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n" + b'{"decision":"DECISION_ALLOW"}  '

Behaviour = Callable[[socket.socket], None]


@contextmanager
def serving(behave: Behaviour) -> Iterator[str]:
    """A server that is as slow as it likes; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def one(connection: socket.socket) -> None:
            with closing(connection), suppress(OSError):
                behave(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=one, args=[listening.accept()[0]], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(STEP)


def drips_the_answer(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    drip(connection, ANSWER)


def drips_the_body(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    head, end, body = ANSWER.partition(b"\r\n\r\n")
    connection.sendall(head + end)
    drip(connection, body)


def drips_interim_answers(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(STEP)


def reads_slowly(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    while connection.recv(4096):
        time.sleep(STEP)


def hangs_up_late(connection: socket.socket) -> None:
    """Once: the retry has what is left, and no more."""
    time.sleep(TIMEOUT * 0.8)


@HTTP
@pytest.mark.parametrize(
    "behave", [drips_the_answer, drips_the_body, drips_interim_answers, reads_slowly, hangs_up_late]
)
def test_a_deadline_is_that_of_the_call(kind: str, behave: Behaviour) -> None:
    body = b"x" * (8 << 20 if behave is reads_slowly else 10)
    with serving(behave) as address:
        began = time.monotonic()
        with pytest.raises(CheckError, match="DEADLINE_EXCEEDED"):
            ask(kind, address, Request("POST", "/", body=body), timeout=TIMEOUT)
        assert TIMEOUT * 0.9 < time.monotonic() - began < TIMEOUT * 3


@HTTP
def test_hands_are_shaken_within_it(kind: str) -> None:
    """A server that sends a record's header, byte by byte, and never its end."""

    def behave(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        drip(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 50)

    with serving(behave) as address:
        began = time.monotonic()
        with pytest.raises(CheckError, match="DEADLINE_EXCEEDED"):
            ask(kind, f"https://{address}", timeout=TIMEOUT, tls=ssl.create_default_context())
        assert TIMEOUT * 0.9 < time.monotonic() - began < TIMEOUT * 3


@HTTP
def test_an_answer_in_pieces_is_one(kind: str) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        for at in range(0, len(ANSWER), 10):
            connection.sendall(ANSWER[at : at + 10])

    with serving(behave) as address:
        assert ask(kind, address, timeout=5).allowed


def test_a_burst_waits_its_turn_within_the_deadline() -> None:
    """More calls than connections: none of them waits longer than it may."""
    opened: list[socket.socket] = []

    def behave(connection: socket.socket) -> None:
        opened.append(connection)
        time.sleep(TIMEOUT * 3)

    async def run(address: str) -> None:
        async with AsyncHttpClient(address, timeout=TIMEOUT, on_error="deny") as client:
            began = time.monotonic()
            calls = [asyncio.create_task(client.check(Request())) for _ in range(200)]
            await asyncio.sleep(TIMEOUT / 2)
            assert 0 < len(opened) <= 64
            verdicts = await asyncio.gather(*calls)
            assert {(v.allowed, v.status) for v in verdicts} == {(False, 503)}
            assert time.monotonic() - began < TIMEOUT * 3

    with serving(behave) as address:
        asyncio.run(run(address))


def test_a_cancelled_call_leaves_no_connection_to_another(limiter: Limiter) -> None:
    async def run() -> None:
        async with AsyncHttpClient(limiter.grpc, timeout=5) as client:
            for _ in range(20):
                call = asyncio.create_task(client.check(Request("GET", "/a")))
                await asyncio.sleep(0.0005)
                call.cancel()
                verdict = await client.check(Request("POST", "/login", "203.0.113.99", cost=0))
                assert [s.name for s in verdict.limits] == ["login"]  # an answer to this question, not to that

    asyncio.run(run())


def test_middleware_of_asyncio_asks_without_threads(limiter: Limiter) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        served.append(threading.active_count())

    async def run() -> None:
        async with AsyncHttpClient(limiter.grpc, timeout=10) as client:
            guarded = RateLimitMiddleware(app, client, on_error="deny")  # type: ignore[arg-type]
            scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("203.0.113.7", 1)}
            await asyncio.gather(*[guarded(dict(scope), None, None) for _ in range(50)])  # type: ignore[arg-type]

    served: list[int] = []
    before = threading.active_count()
    asyncio.run(run())
    assert len(served) == 50
    assert max(served) <= before
