"""What a hostile peer gets: a GOAWAY with the reason, a counter, and nobody else is harmed."""

from __future__ import annotations

import contextlib
import struct

import pytest
from http2_peer import (
    ABUSE,
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    PROTOCOL_ERROR,
    check_request,
)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


@pytest.fixture
def victim(serve, connect):
    """(server, address) with a well-meant peer on it, which must be served as before when the test ends."""
    server, address = serve(max_message=100_000)
    peer = connect(address)
    peer.send(peer.call(1))
    assert peer.answer(1).grpc_status == 0
    yield server, address
    peer.send(peer.call(3))
    assert peer.answer(3).grpc_status == 0


def test_a_bad_preface(victim, connect):
    """What begins like HTTP/2 and goes on otherwise is told so in HTTP/2, after our SETTINGS, and hung up on."""
    server, address = victim
    peer = connect(address, preface=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", settings=None)
    assert peer.goaway() == PROTOCOL_ERROR
    assert peer.frames[0].type == SETTINGS
    assert server.stats()["abuse"][ABUSE["protocol_error"]] == 1


def test_a_goodbye_that_names_the_peers_own_stream_is_no_abuse(victim, connect):
    """As grpc-go says it: GOAWAY with NO_ERROR and the last stream that it opened itself."""
    server, address = victim
    peer = connect(address)
    peer.send(peer.call(1))
    assert peer.answer(1).grpc_status == 0
    peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0) + b"client transport shutdown"))
    peer.goaway()
    assert sum(server.stats()["abuse"]) == 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (frame(DATA, 0, 7, b"x"), PROTOCOL_ERROR),  # idle stream
        (frame(HEADERS, END_HEADERS, 2, b"\x82"), PROTOCOL_ERROR),  # even id
        (frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), COMPRESSION_ERROR),
        (frame(HEADERS, END_HEADERS, 1, b"\xbe"), COMPRESSION_ERROR),  # an entry that the dynamic table does not have
        (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR),
        (frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),  # in the midst of a header block
        (frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02\x82"), PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, b"12345"), 6),
        (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), FLOW_CONTROL_ERROR),
        (frame(PING, 0, 0, b"1234567"), 6),
        (frame(WINDOW, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
        (b"\xff\xff\xff" + frame(DATA, 0, 1)[3:], 6),
    ],
)
def test_broken_frames(victim, connect, bad, code):
    """GOAWAY with the code of RFC 9113, counted once."""
    server, address = victim
    peer = connect(address)
    peer.send(bad)
    assert peer.goaway() == code
    assert server.stats()["abuse"][ABUSE["protocol_error"]] == 1


def test_broken_requests_cost_only_their_stream(victim, connect):
    """Upper-case names, missing pseudo-headers, connection headers: PROTOCOL_ERROR for the stream (RFC 9113 8.1.1)."""
    _, address = victim
    peer = connect(address)
    for stream, extra in ((1, ("Upper", "x")), (3, ("connection", "close")), (5, (":late", "x")), (7, ("x", "a\nb"))):
        peer.send(peer.call(stream, extra=[extra]))
        peer.read_until(lambda s=stream: peer.answers[s].ended)
        assert peer.answers[stream].reset == PROTOCOL_ERROR
    peer.send(peer.call(9))
    assert peer.answer(9).grpc_status == 0


def test_flow_control_is_enforced(victim, connect):
    """More DATA than the stream's window allows."""
    _, address = victim
    peer = connect(address)
    body = (90_000).to_bytes(5, "big") + bytes(16_000)
    # In one write, so that no window update can come between.
    peer.send(peer.headers(1), *[peer.data(1, body, end=False) for _ in range(6)])
    peer.read_until(lambda: peer.eof or peer.answers[1].ended)
    assert peer.answers[1].reset is not None or peer.goaways[-1].error_code == FLOW_CONTROL_ERROR


def test_large_header_lists(victim, connect):
    """Somewhat too large: RESOURCE_EXHAUSTED for the call. The connection and its compression state stay good."""
    server, address = victim
    peer = connect(address)
    peer.send(peer.call(1, extra=[("x-large", "v" * 4000)] * 5))
    assert peer.answer(1).grpc_status == 8
    assert server.stats()["abuse"][ABUSE["header_bomb"]] == 1
    peer.send(peer.call(3, extra=[("x-large", "v" * 4000)]))
    assert peer.answer(3).grpc_status == 0


def test_header_bomb(victim, connect):
    """A large field, then thousands of one-byte references to it."""
    server, address = victim
    peer = connect(address)
    block = peer.headers(1, extra=[("x-large", "v" * 3900)]).data
    peer.send(frame(HEADERS, END_HEADERS, 1, block + b"\xbe" * 10_000))
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["header_bomb"]] == 1


@pytest.mark.parametrize("payload", [b"", b"\x82" * 16_000])
def test_endless_continuation(victim, connect, payload):
    """CVE-2024-28182: a header block without end."""
    server, address = victim
    peer = connect(address)
    peer.try_send(frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, payload) * 1000)
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["header_bomb"]] == 1


@pytest.mark.parametrize("complete", [False, True])
def test_rapid_reset(victim, connect, complete):
    """CVE-2023-44487: calls that are reset as soon as they are made."""
    server, address = victim
    peer = connect(address)
    for stream in range(1, 4001, 2):
        call = peer.call(stream) if complete else peer.headers(stream).serialize()
        if not peer.try_send(call + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))):
            break
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["rapid_reset"]] == 1
    assert server.checks() < 1500


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(PING, ACK, 0, bytes(8)),
        frame(SETTINGS, 0, 0),
        frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)),
        frame(PRIORITY, 0, 3, bytes(5)),
        frame(WINDOW, 0, 0, b"\0\0\0\x01"),
        frame(DATA, 0, 1),
        frame(DATA, 0, 1, b"\0"),
        frame(RST_STREAM, 0, 1, bytes(4)),
        frame(99, 0, 0) * 100,  # unknown types are ignored, within bounds
    ],
    ids=[
        "ping",
        "pong",
        "settings",
        "setting",
        "priority",
        "window",
        "empty-data",
        "small-data",
        "late-reset",
        "unknown",
    ],
)
def test_control_floods(victim, connect, flood):
    """Frames that cost us work and the peer nothing are bounded, whatever their kind."""
    server, address = victim
    peer = connect(address)
    peer.answer_pings = False
    peer.send(peer.headers(1), frame(DATA, 0, 1, (90_000).to_bytes(5, "big")))
    for _ in range(100):
        if not peer.try_send(flood * 100):
            break
    assert peer.goaway() in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR)
    assert server.stats()["abuse"][ABUSE["control_flood"]] == 1


def test_streams_opened_and_left(serve, connect):
    """Half-open streams beyond the limit are refused, or the peer is thrown out; others are served meanwhile."""
    _, address = serve(max_streams=10)
    peer = connect(address)
    for stream in range(1, 4001, 2):
        if not peer.try_send(peer.headers(stream).serialize()):
            break
    with contextlib.suppress(AssertionError):
        peer.read_until(lambda: peer.eof or peer.answers[3999].ended, timeout=2)
    assert peer.eof or sum(a.reset == 7 for a in peer.answers.values()) > 1000
    other = connect(address)
    other.send(other.call(1, check_request("/deny")))
    assert other.answer(1).check().status == 429
