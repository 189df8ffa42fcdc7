"""The reader of HTTP/1.1 against llhttp 9, Node's: whatever ours takes, llhttp takes, and as the same requests."""

from __future__ import annotations

import random
from contextlib import suppress

import httptools
import pytest
from ratelimitd._ext.wire.http1_probe import requests_of

Request = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]

HEAD = b"GET /a?b=c HTTP/1.1\r\nHost: h.example:80\r\nX-A:  some text \t\r\nx-b:\r\n"
SEEDS = [
    HEAD + b"\r\n",
    HEAD + b"\r\n" + HEAD + b"Connection: keep-alive\r\n\r\n",
    b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello" + HEAD + b"\r\n",
    HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1A\r\n"
    + b"z" * 26
    + b"\r\n0\r\nT: 1\r\n\r\n"
    + HEAD
    + b"\r\n",
    b"POST http://h.example:80/x HTTP/1.1\r\nHost: H.example:80\r\nContent-Length: 2\r\n\r\nok",
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"PUT /\xc3\xa9 HTTP/1.1\r\nHost: h\r\nCookie: a=\xff\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
]
METHODS = (b"GET", b"POST", b"PUT", b"HEAD")
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x7f", b"\x80", b",", b";", b"0", b"1", b"f", b"+", b"-",
    b"0x", b"\x0b", b"\x0c", b"chunked", b"HTTP/1.1", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: x\r\n", b"Transfer-Encoding: identity\r\n", b"\r\n\r\n",
    b"0\r\n\r\n", b"GET / HTTP/1.1\r\n", b"X: y\r\n z\r\n", b"http://h/",
]  # fmt: skip


class Taker:
    """Keeps what llhttp makes of bytes."""

    def __init__(self) -> None:
        self.done: list[Request] = []
        self.parser = httptools.HttpRequestParser(self)
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.url = self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.in_head = True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else a trailer
            self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_head = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done.append((self.parser.get_method(), self.url, self.fields, self.body))


def by_llhttp(data: bytes) -> list[Request]:
    taker = Taker()
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        taker.parser.feed_data(data)
    return taker.done


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((0, 0, 1, 2, 8)))
        data[at:until] = rng.choice(PIECES) if rng.random() < 0.8 else bytes([rng.randrange(256)])
    return bytes(data)


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((1, 2, 5, 40))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


def same_target(ours: bytes, theirs: bytes) -> bool:
    """Ours is without scheme and authority."""
    return ours == theirs or (b"://" in theirs and theirs.endswith(ours)) or (ours == b"/" and b"://" in theirs)


@pytest.mark.parametrize("seed", range(8))
def test_what_we_take_llhttp_takes_the_same_way(seed: int) -> None:
    rng = random.Random(seed)
    compared = 0
    for _ in range(2500):
        data = mutated(rng)
        ours, _, _ = requests_of([data])
        theirs = by_llhttp(data)
        # Methods and bytes of a path that llhttp does not know are no question of where something ends.
        if any(method not in METHODS or not target.isascii() for method, target, *_ in ours):
            continue
        assert len(theirs) >= len(ours), data
        for mine, other in zip(ours, theirs, strict=False):
            assert (mine[0], mine[2], mine[3]) == (other[0], other[2], other[3]), data
            assert same_target(mine[1], other[1]), data
            compared += 1
    assert compared > 1000


@pytest.mark.parametrize("seed", range(8))
def test_where_reads_end_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(1500):
        data = mutated(rng)
        whole, said, over = requests_of([data])
        for _ in range(2):
            parts = pieces(rng, data)
            found, answers, ended = requests_of(parts)
            assert found == whole, (data, parts)
            assert ended == over, (data, parts)
            assert answers.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == said.replace(
                b"HTTP/1.1 100 Continue\r\n\r\n", b""
            )
