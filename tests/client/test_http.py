"""The HTTP clients against a real server: one connection, one retry, one deadline, and never an accidental allow."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ratelimitd.client import AsyncHttpClient, CheckError, HttpClient, Request, door, http

from .asking import HTTP, ask, asks
from .limiter import Limiter

GOOD = b'{"decision":"DECISION_ALLOW","status":200}'
LOGIN = Request("POST", "/login", "203.0.113.7", headers=[("X-A", b"\xff"), ("cookie", "s=é")])


@HTTP
def test_verdicts_come_over_one_connection(kind: str, limiter: Limiter) -> None:
    verdicts = asks(kind, f"http://{limiter.http}", *[LOGIN] * 3)
    assert [(v.allowed, v.status) for v in verdicts] == [(True, 200), (True, 200), (False, 429)]
    denied = verdicts[-1]
    assert (denied.reason, denied.decided_by, denied.domain, denied.error) == ("over_limit", "login", "shop", "")
    assert denied.retry_after == int(denied.header("retry-after"))
    assert [(s.name, s.limit, s.remaining, s.over) for s in denied.limits] == [("login", 2, 0, True)]
    assert limiter.connections == 1
    assert [h.value for h in limiter.asked[0].headers] == [b"\xff", "s=é".encode()]


@HTTP
@pytest.mark.parametrize("door", ["http", "grpc"])
def test_both_transports_say_the_same(kind: str, limiter: Limiter, door: str) -> None:
    """Of the server's own JSON door, too, which is on the port of gRPC."""
    request = Request(
        "POST",
        "/login?a=%C3%A9",
        "198.51.100.1",
        host="shop.example",
        scheme="https",
        headers=[("X-A", b"\xff"), ("cookie", "s=é")],
        body=b"q=1",
        partial_body=True,
        attributes={"principal": "anna"},
        domain="shop",
        dry_run=True,
        explain=True,
    )
    attack = replace(request, body=b"q=evil")
    plain, grpc = asks(kind, getattr(limiter, door), request, attack), asks("grpc", limiter.grpc, request, attack)
    assert plain[0] == grpc[0]
    said = [replace(verdicts[1], reference="", headers=()) for verdicts in (plain, grpc)]
    assert said[0] == said[1]
    assert said[0].matches


@HTTP
def test_the_server_refuses_by_http_what_it_refuses_by_grpc(kind: str, limiter: Limiter) -> None:
    many = Request(headers=[(f"x-{i}", "1") for i in range(300)])
    said = asks(kind, limiter.grpc, Request(body=b"x" * (5 << 20)), many, Request(), on_error="allow", timeout=10)
    assert [(verdict.allowed, verdict.status) for verdict in said] == [(False, 413), (False, 400), (True, 200)]


@HTTP
def test_a_connection_that_the_server_closed_costs_a_retry_only(kind: str, limiter: Limiter) -> None:
    limiter.faults += [GOOD, None, GOOD]
    assert [verdict.allowed for verdict in asks(kind, limiter.http, LOGIN, LOGIN)] == [True, True]
    assert limiter.connections == 2


@HTTP
def test_a_server_that_only_hangs_up_is_asked_twice(kind: str, limiter: Limiter) -> None:
    limiter.faults += [None] * 10
    with pytest.raises(CheckError, match="UNAVAILABLE"):
        ask(kind, limiter.http, LOGIN)
    assert limiter.connections == 2


@HTTP
def test_an_overloaded_server_is_not_asked_again(kind: str, limiter: Limiter) -> None:
    """A retry would be what it can use least. The next call has another connection, and so perhaps another server."""
    limiter.faults += [GOOD, 503, GOOD]
    said = asks(kind, limiter.http, LOGIN, LOGIN, LOGIN, on_error="deny")
    assert [(verdict.allowed, verdict.status, verdict.reason) for verdict in said] == [
        (True, 200, ""),
        (False, 503, "no_answer"),
        (True, 200, ""),
    ]
    assert limiter.connections == 2


@HTTP
def test_a_refusal_before_all_was_read_is_one(kind: str) -> None:
    """A server that closes on a body that is too large must not look like one that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            connection, _ = listening.accept()
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
            connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        large = Request("POST", "/", body=b"x" * 5_000_000)
        verdict = ask(kind, f"127.0.0.1:{listening.getsockname()[1]}", large, on_error="allow", timeout=5)
    assert (verdict.allowed, verdict.status) == (False, 413)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_connection_that_froze_is_not_used(
    asynchronous: bool, limiter: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the wall clock: the monotonic one may stand still with the function."""

    async def run() -> None:
        async with AsyncHttpClient(limiter.http) as client:
            await client.check(LOGIN)
            monkeypatch.setattr(door.time, "time", lambda: wall)
            await client.check(LOGIN)

    wall = time.time() + 241
    if asynchronous:
        asyncio.run(run())
    else:
        with HttpClient(limiter.http) as client:
            client.check(LOGIN)
            monkeypatch.setattr(door.time, "time", lambda: wall)
            client.check(LOGIN)
    assert limiter.connections == 2


def test_another_loop_has_connections_of_its_own(limiter: Limiter) -> None:
    client = AsyncHttpClient(limiter.http)
    for _ in range(2):
        assert asyncio.run(client.check(Request())).allowed
    assert limiter.connections == 2


def test_a_fork_does_not_share_a_connection(limiter: Limiter, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpClient(limiter.http) as client:
        client.check(LOGIN)
        monkeypatch.setattr(http.os, "getpid", lambda: -1)
        client.check(LOGIN)
    assert limiter.connections == 2


def test_threads_share_a_client(limiter: Limiter) -> None:
    with HttpClient(limiter.http) as client, ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(client.check, [Request("GET", "/", "203.0.113.8")] * 40))
    assert all(v.allowed for v in verdicts)
    assert limiter.connections <= 4


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (404, "UNIMPLEMENTED"),
        (413, "TOO_LARGE"),
        (429, "RESOURCE_EXHAUSTED"),
        (302, "UNKNOWN"),
        (500, "UNKNOWN"),
        (b"<html>", "INTERNAL"),
        (b"[]", "INTERNAL"),
        (b" " * (1 << 20) + b"{}", "UNAVAILABLE"),
    ],
    ids=lambda v: str(v)[:20],
)
@HTTP
def test_what_is_no_verdict_is_an_error(kind: str, limiter: Limiter, fault: int | bytes, code: str) -> None:
    limiter.faults.append(fault)
    with pytest.raises(CheckError) as caught:
        ask(kind, limiter.http, LOGIN)
    assert caught.value.code == code


@HTTP
def test_the_deadline_holds_for_silence_and_for_the_retry(kind: str, limiter: Limiter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(CheckError) as caught:
            ask(kind, f"127.0.0.1:{mute.getsockname()[1]}", LOGIN, timeout=0.1)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert 0.09 < time.monotonic() - began < 1
    with pytest.raises(CheckError, match="DEADLINE_EXCEEDED"):
        ask(kind, limiter.http, LOGIN, timeout=0)


@HTTP
@pytest.mark.parametrize("abstract", [False, True])
def test_unix_sockets(kind: str, abstract: bool, limiter: Limiter, tmp_path: Path) -> None:
    path = f"@{tmp_path}" if abstract else str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.replace("@", "\0"))
        listening.listen()

        def serve() -> None:
            limiter.server.process_request(listening.accept()[0], ("", 0))

        threading.Thread(target=serve, daemon=True).start()
        assert ask(kind, f"unix:{path}", LOGIN).allowed


@pytest.mark.parametrize("kind", [HttpClient, AsyncHttpClient])
@pytest.mark.parametrize(
    "address",
    ["", "ftp://a", "http://", "http://a/b", "http://a:b", "http://u:p@a", "http://a?b", "a b:1", "http://a#b", "é:1"],
)
def test_addresses_are_checked(kind: type, address: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        kind(address)


def test_the_stdlib_is_all_that_is_imported() -> None:
    code = (
        "import sys; from ratelimitd.client import HttpClient; from ratelimitd.client.aws import authorizer;"
        "from ratelimitd.client import AsyncHttpClient, asgi, wsgi;"
        "print([m for m in sys.modules if m.split('.')[0] in ('grpc', 'google') or m.startswith('ratelimitd._')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert said.stdout.strip() == "[]", said.stderr
