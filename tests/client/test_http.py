"""The HTTP client against a real server: one connection, one retry, one deadline, and never an accidental allow."""

from __future__ import annotations

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

from ratelimitd.client import CheckError, Client, HttpClient, Request, door, http

from .limiter import Limiter

LOGIN = Request("POST", "/login", "203.0.113.7", headers=[("X-A", b"\xff"), ("cookie", "s=é")])


def test_verdicts_come_over_one_connection(limiter: Limiter) -> None:
    with HttpClient(f"http://{limiter.http}") as client:
        verdicts = [client.check(LOGIN) for _ in range(3)]
    assert [(v.allowed, v.status) for v in verdicts] == [(True, 200), (True, 200), (False, 429)]
    denied = verdicts[-1]
    assert (denied.reason, denied.decided_by, denied.domain, denied.error) == ("over_limit", "login", "shop", "")
    assert denied.retry_after == int(denied.header("retry-after"))
    assert [(s.name, s.limit, s.remaining, s.over) for s in denied.limits] == [("login", 2, 0, True)]
    assert limiter.connections == 1
    assert [h.value for h in limiter.asked[0].headers] == [b"\xff", "s=é".encode()]


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_both_transports_say_the_same(limiter: Limiter, door: str) -> None:
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
    with HttpClient(getattr(limiter, door)) as plain, Client(limiter.grpc) as grpc:
        assert plain.check(request) == grpc.check(request)
        attack = replace(request, body=b"q=evil")
        said = [replace(c.check(attack), reference="", headers=()) for c in (plain, grpc)]
        assert said[0] == said[1]
        assert said[0].matches


def test_the_server_refuses_by_http_what_it_refuses_by_grpc(limiter: Limiter) -> None:
    with HttpClient(limiter.grpc, on_error="allow") as client:
        assert client.check(Request(body=b"x" * (5 << 20))).status == 413
        assert client.check(Request(headers=[(f"x-{i}", "1") for i in range(300)])).status == 400
        assert client.check(Request()).allowed


def test_a_connection_that_the_server_closed_costs_a_retry_only(limiter: Limiter) -> None:
    with HttpClient(limiter.http) as client:
        client.check(LOGIN)
        limiter.faults.append(None)
        assert client.check(LOGIN).allowed
    assert limiter.connections == 2


def test_an_overloaded_server_is_not_asked_again(limiter: Limiter) -> None:
    """A retry would be what it can use least. The next call has another connection, and so perhaps another server."""
    with HttpClient(limiter.http) as client:
        client.check(LOGIN)
        limiter.faults.append(503)
        with pytest.raises(CheckError) as caught:
            client.check(LOGIN)
        assert (caught.value.code, caught.value.refused) == ("UNAVAILABLE", False)
        assert client.check(LOGIN).allowed
    assert limiter.connections == 2


def test_a_refusal_before_all_was_read_is_one() -> None:
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
        client = HttpClient(f"127.0.0.1:{listening.getsockname()[1]}", on_error="allow", timeout=5)
        verdict = client.check(Request("POST", "/", body=b"x" * 5_000_000))
    assert (verdict.allowed, verdict.status) == (False, 413)


def test_a_connection_that_froze_is_not_used(limiter: Limiter, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the wall clock: the monotonic one may stand still with the function."""
    with HttpClient(limiter.http) as client:
        client.check(LOGIN)
        wall = time.time() + 241
        monkeypatch.setattr(door.time, "time", lambda: wall)
        client.check(LOGIN)
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
def test_what_is_no_verdict_is_an_error(limiter: Limiter, fault: int | bytes, code: str) -> None:
    limiter.faults.append(fault)
    with HttpClient(limiter.http) as client, pytest.raises(CheckError) as caught:
        client.check(LOGIN)
    assert caught.value.code == code


def test_the_deadline_holds_for_silence_and_for_the_retry(limiter: Limiter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = HttpClient(f"127.0.0.1:{mute.getsockname()[1]}", timeout=0.1)
        began = time.monotonic()
        with pytest.raises(CheckError) as caught:
            client.check(LOGIN)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert 0.09 < time.monotonic() - began < 1
    with pytest.raises(CheckError, match="DEADLINE_EXCEEDED"):
        HttpClient(limiter.http).check(LOGIN, timeout=0)


def test_unix_sockets(limiter: Limiter, tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            limiter.server.process_request(listening.accept()[0], ("", 0))

        threading.Thread(target=serve, daemon=True).start()
        with HttpClient(f"unix:{path}") as client:
            assert client.check(LOGIN).allowed


@pytest.mark.parametrize("address", ["", "ftp://a", "http://", "http://a/b", "http://a:b"])
def test_addresses_are_checked(address: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        HttpClient(address)


def test_the_stdlib_is_all_that_is_imported() -> None:
    code = (
        "import sys; from ratelimitd.client import HttpClient; from ratelimitd.client.aws import authorizer;"
        "from ratelimitd.client import asgi, wsgi;"
        "print([m for m in sys.modules if m.split('.')[0] in ('grpc', 'google') or m.startswith('ratelimitd._')])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert said.stdout.strip() == "[]", said.stderr
