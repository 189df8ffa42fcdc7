"""HTTP/1.1 by the book, over real sockets."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

import pytest
from http1_client import Client
from http2_peer import ABUSE, check_request, wait_for

STALL = 120  # ms
ASK = b"X-Original-Method: GET\r\nX-Original-URI: %s\r\nX-Forwarded-For: 203.0.113.7\r\n"


def request(
    path: bytes = b"/a", *, line: bytes = b"GET /auth HTTP/1.1", extra: bytes = b"", body: bytes = b""
) -> bytes:
    return line + b"\r\nHost: x\r\n" + ASK % path + extra + b"\r\n" + body


@pytest.fixture
def victim(serve: Any, client: Any) -> tuple[Any, Client]:
    server, address = serve(max_message=1000, max_header_list=4096)
    return server, client(address)


def test_requests_follow_each_other_on_one_connection(victim):
    server, c = victim
    for _ in range(3):
        assert c.ask(request()) == 200
        c.send(request(b"/deny"))
        status, fields, body = c.read()
        assert status == 429
        assert fields["content-type"] == "application/problem+json"
        assert fields["content-length"] == str(len(body))
        assert fields["date"].endswith(" GMT")
        assert "connection" not in fields
    assert server.checks() == 6


def test_http2_and_http1_share_a_port(serve, client, connect):
    _, address = serve()
    assert client(address).ask(request()) == 200
    peer = connect(address)
    peer.send(peer.call(1, check_request()))
    assert peer.answer(1).grpc_status == 0


def test_a_request_byte_by_byte(victim):
    _, c = victim
    c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = request(b"/deny", line=b"POST /auth HTTP/1.1", extra=b"Content-Length: 3\r\n", body=b"abc")
    chunked = request(extra=b"Transfer-Encoding: chunked\r\n", body=b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n")
    for data in (body, chunked, b"\r\n" + request()):
        for i in range(len(data)):
            c.send(data[i : i + 1])
    assert [c.read()[0] for _ in range(3)] == [429, 200, 200]


def test_pipelined_requests_are_answered_in_order_and_never_pile_up(serve, client):
    """However many there are, and however slowly their answers are read."""
    server, address = serve(max_output=50_000)
    c = client(address)
    c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    count = 4000
    data = b"".join(request(b"/deny" if i % 3 == 0 else b"/a") for i in range(count))
    c.socket.setblocking(False)
    sent = 0
    statuses: list[int] = []
    deadline = time.monotonic() + 20
    while len(statuses) < count:
        assert time.monotonic() < deadline
        if sent < len(data):
            with suppress(BlockingIOError):
                sent += c.socket.send(data[sent:])
        assert server.stats()["unread_bytes"] < 1 << 20
        c.socket.settimeout(1)
        statuses.append(c.read()[0])
        c.socket.setblocking(False)
    assert statuses == [429 if i % 3 == 0 else 200 for i in range(count)]


@pytest.mark.parametrize(
    ("line", "extra", "kept"),
    [
        (b"GET /auth HTTP/1.1", b"", True),
        (b"GET /auth HTTP/1.1", b"Connection: keep-alive\r\n", True),
        (b"GET /auth HTTP/1.1", b"Connection: close\r\n", False),
        (b"GET /auth HTTP/1.1", b"Connection: x-y, Close\r\n", False),
        (b"GET /auth HTTP/1.1", b"Connection: x\r\nConnection: close\r\n", False),
        (b"GET /auth HTTP/1.0", b"", False),
        (b"GET /auth HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"GET /auth HTTP/1.0", b"Connection: Keep-Alive, close\r\n", False),
        (b"GET /auth HTTP/1.9", b"", True),
    ],
)
def test_when_a_connection_is_kept(victim, line, extra, kept):
    _, c = victim
    c.send(request(line=line, extra=extra))
    status, fields, _ = c.read()
    assert status == 200
    assert ("close" in fields.get("connection", "")) == (not kept)
    if b"1.0" in line and kept:
        assert fields["connection"] == "keep-alive"
    if kept:
        assert c.ask(request()) == 200
    else:
        assert c.at_end()


def test_head_has_no_body_but_its_length(victim):
    _, c = victim
    c.send(request(b"/deny", line=b"HEAD /auth HTTP/1.1") + request(b"/deny"))
    status, fields, _ = c.read(head=True)
    assert status == 429
    assert int(fields["content-length"]) == len(c.read()[2])


def test_expect_100_continue(victim):
    """Asked for, and said only when the body is still to come."""
    _, c = victim
    head = request(line=b"POST /auth HTTP/1.1", extra=b"Content-Length: 3\r\nExpect: 100-Continue\r\n")
    c.send(head)
    assert c.read()[0] == 100
    assert c.ask(b"abc") == 200
    assert c.ask(head + b"abc") == 200
    c.send(head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"abc")
    assert c.read()[0] == 200


def test_expectations_that_cannot_be_met(victim):
    _, c = victim
    assert c.ask(request(extra=b"Content-Length: 3\r\nExpect: a-miracle\r\n")) == 417
    assert c.at_end()


def test_a_body_that_is_too_large_is_not_asked_for(victim):
    server, c = victim
    assert c.ask(request(extra=b"Content-Length: 1001\r\nExpect: 100-continue\r\n")) == 413
    assert c.at_end()
    assert server.stats()["abuse"][ABUSE["oversized"]] == 1


def test_a_chunked_body_that_grows_too_large(victim):
    _, c = victim
    chunk = b"190\r\n" + b"x" * 400 + b"\r\n"
    assert c.ask(request(extra=b"Transfer-Encoding: chunked\r\n", body=chunk * 3)) == 413
    assert c.at_end()


GET = b"GET /auth HTTP/1.1\r\n"
HOST = b"Host: x\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        # Where does the body end?
        (GET + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        (GET + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: +3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: -1\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 0x3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 3 3\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length:\r\n\r\nabc", 400),
        (GET + HOST + b"Content-Length: 18446744073709551619\r\n\r\nabc", 400),
        (GET + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
        (GET + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (GET + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (GET + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
        (GET + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /auth HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        # Where does a line, a name, a value end?
        (GET + b"Host: x\nX: y\r\n\r\n", 400),
        (b"GET /auth HTTP/1.1\nHost: x\n\n", 400),
        (GET + b"Host: x\r\nX: a\rB: c\r\n\r\n", 400),
        (GET + b"Host: x\rX: y\r\n\r\n", 400),
        (b"GET /auth HTTP/1.1\rXHost: x\r\nHost: x\r\n\r\n", 400),
        (GET + HOST + b"X: a\r\n folded\r\n\r\n", 400),
        (GET + b" Host: x\r\n\r\n", 400),
        (GET + HOST + b"X : y\r\n\r\n", 400),
        (GET + HOST + b"Content-Length : 3\r\n\r\nabc", 400),
        (GET + HOST + b"X\t: y\r\n\r\n", 400),
        (GET + HOST + b"X\r\n\r\n", 400),
        (GET + HOST + b": y\r\n\r\n", 400),
        (GET + HOST + b"X: a\0b\r\n\r\n", 400),
        (GET + HOST + b"X\0: ab\r\n\r\n", 400),
        (GET + HOST + b"X: a\x7fb\r\n\r\n", 400),
        (GET + HOST + b"\xc3\xa9: b\r\n\r\n", 400),
        (b"\n" + GET + HOST + b"\r\n", 400),
        (b"\r" + GET + HOST + b"\r\n", 400),
        (b"\r\n\r\n" + GET + HOST + b"\r\n", 400),
        # Which request is it?
        (b"GET  /auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
        (b"GET\t/auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b" GET /auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth \r\n\r\n", 400),
        (b"G / \r\n\r\n", 400),
        (b"GET /auth http/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth HTTP/1.10\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth HTTP/11\r\nHost: x\r\n\r\n", 400),
        (b"GET /auth HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /auth HTTP/0.9\r\nHost: x\r\n\r\n", 505),
        (b"G\xc3T /auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"A" * 33 + b" /auth HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01" + bytes(200) + b"\r\n\r\n", 400),
        # For whom?
        (GET + b"\r\n", 400),
        (GET + HOST + HOST + b"\r\n", 400),
        (GET + b"Host: x, y\r\n\r\n", 400),
        (GET + b"Host: x y\r\n\r\n", 400),
        (GET + b"Host: x/y\r\n\r\n", 400),
        (GET + b"Host: user@x\r\n\r\n", 400),
        (b"GET http://x/auth HTTP/1.1\r\nHost: y\r\n\r\n", 400),
        (b"GET http://x:80/auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://u@x/auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http:///auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET ftp://x/auth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        # How much?
        (GET + HOST + b"X: y\r\n" * 256 + b"\r\n", 431),
        (GET + HOST + b"X: " + b"y" * 5000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_what_is_refused(victim, data, status, split):
    """Whole or in pieces: a status, a reason, and no further word where two sides may see different things."""
    server, c = victim
    if split:
        c.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        middle = len(data) // 2
        c.send(data[:middle])
        with suppress(BrokenPipeError, ConnectionResetError):
            c.send(data[middle:] + request())
    else:
        c.send(data + request())
    got, fields, body = c.read()
    assert got == status
    assert fields["connection"] == "close"
    assert fields["content-type"] == "application/problem+json"
    assert b'"detail":' in body
    assert c.at_end()
    assert server.checks() == 0
    assert server.stats()["http_errors"][status] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"000000003\r\nabc\r\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3;\r\nabc\r\n0\r\n\r\n",
        b"3;a=\r\nabc\r\n0\r\n\r\n",
        b"3;a b\r\nabc\r\n0\r\n\r\n",
        b"3;\0\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 4097 + b"\r\nabc\r\n0\r\n\r\n",
        (b"1;" + b"x" * 1000 + b"\r\na\r\n") * 5 + b"0\r\n\r\n",
        b"0\r\n" + b"T: 1\r\n" * 1100 + b"\r\n",
        b"0\r\nT: 1\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nT : 1\r\n\r\n",
        b"0\r\nT\r\n\r\n",
        b"0\r\n: 1\r\n\r\n",
        b"0\n\n",
    ],
)
def test_chunks_that_are_refused(victim, body):
    server, c = victim
    assert c.ask(request(extra=b"Transfer-Encoding: chunked\r\n", body=body)) == 400
    assert c.at_end()
    assert server.checks() == 0


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://x/auth HTTP/1.1",
        b"GET HTTP://X/auth HTTP/1.1",
        b"BREW /auth HTTP/1.1",
        b"GET /auth;domain=a HTTP/1.1",
    ],
)
def test_what_is_accepted(victim, line):
    _, c = victim
    assert c.ask(request(line=line)) == 200
    assert c.ask(request()) == 200


def test_unknown_paths(victim):
    server, c = victim
    for path in (b"/", b"/authority", b"/auth/", b"/auth/nobody", b"/auth/nginx/a", b"/authx", b"/auth//nginx"):
        assert c.ask(request(line=b"GET " + path + b" HTTP/1.1")) == 404
    assert c.ask(request()) == 200
    assert server.checks() == 1


@pytest.mark.parametrize("start", [request()[:-2], request(extra=b"Content-Length: 9\r\n", body=b"abc"), b"GET /"])
def test_half_a_request(serve, client, start):
    server, address = serve(stall_timeout_ms=STALL)
    c = client(address)
    began = time.monotonic()
    c.send(start)
    assert c.read()[0] == 408
    assert c.at_end()
    assert time.monotonic() - began >= STALL / 1000
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


def test_a_slow_sender_is_not_waited_for(serve, client):
    """A byte now and then keeps no connection: the whole request must be there in time."""
    _, address = serve(stall_timeout_ms=300)
    c = client(address)
    began = time.monotonic()
    for byte in request(extra=b"X: " + b"y" * 200 + b"\r\n"):
        try:
            c.send(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            break
        time.sleep(0.01)
    assert c.read()[0] == 408
    assert time.monotonic() - began < 3


def test_an_idle_connection_is_closed_between_requests(serve, client):
    server, address = serve(idle_timeout_ms=100, stall_timeout_ms=50, max_connection_age_grace_ms=100)
    c = client(address)
    assert c.ask(request()) == 200
    assert c.at_end()
    assert sum(server.stats()["abuse"]) == 0


def test_draining_lets_the_next_answer_be_the_last(serve, client):
    server, address = serve(max_connection_age_grace_ms=2000)
    c = client(address)
    assert c.ask(request()) == 200
    server.drain()  # a worker hears of it at its next turn
    for _ in range(50):
        c.send(request())
        status, fields, _ = c.read()
        assert status == 200
        if fields.get("connection") == "close":
            break
    assert fields["connection"] == "close"
    assert c.at_end()
    wait_for(lambda: server.connections() == 0)


def test_overload_is_told(serve, client):
    """What waited longer than max_wait is not decided: 503, and when to come back."""
    server, address = serve(max_wait_ms=20)
    c = client(address)
    slow = request(b"/slow")
    c.send(slow * 40)
    answers = [c.read() for _ in range(40)]
    assert {status for status, _, _ in answers} == {200, 503}
    assert all(fields["retry-after"] == "1" for status, fields, _ in answers if status == 503)
    assert server.stats()["shed"] == server.stats()["http_errors"][503] > 0
    assert c.ask(request()) == 200
