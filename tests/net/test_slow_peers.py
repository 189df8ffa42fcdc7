"""Peers that send or read too slowly, or not at all."""

from __future__ import annotations

import time

import pytest
from http2_peer import ABUSE, ENHANCE_YOUR_CALM, NO_ERROR, PREFACE, framed, wait_for
from hyperframe.frame import PingFrame

from ratelimitd.v1 import ratelimit_pb2 as pb

BATCH = "/ratelimitd.v1.RateLimitService/CheckBatch"
STALL = 120  # ms
LONG_STALL = 300  # for peers that must keep up with it, on a busy machine too


@pytest.mark.parametrize("start", [b"", b"P", PREFACE[:10], PREFACE])
def test_silence_before_the_settings(serve, connect, start):
    """Whoever connects must introduce itself. It is told so if it has shown what it speaks."""
    server, address = serve(stall_timeout_ms=STALL)
    began = time.monotonic()
    peer = connect(address, preface=start, settings=None)
    peer.read_until(lambda: peer.eof)
    assert [g.error_code for g in peer.goaways] == ([ENHANCE_YOUR_CALM] if len(start) > 4 else [])
    assert STALL / 1000 <= time.monotonic() - began < 2
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


def test_half_a_header_block(serve, connect):
    server, address = serve(stall_timeout_ms=STALL)
    peer = connect(address)
    headers = peer.headers(1)
    headers.flags.discard("END_HEADERS")
    peer.send(headers)
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


@pytest.mark.parametrize("body", [b"", b"\0\0", framed(b"abcdef")[:-1], framed(b"abcdef")])
def test_silence_within_a_call(serve, connect, body):
    """A peer that says nothing more while it owes us the rest of a call is hung up on."""
    server, address = serve(stall_timeout_ms=STALL)
    peer = connect(address)
    peer.send(peer.headers(1), peer.data(1, body, end=False))
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


def test_a_slow_call_among_others(serve, connect):
    """While the peer goes on with other calls only the slow one ends."""
    server, address = serve(stall_timeout_ms=LONG_STALL)
    peer = connect(address)
    peer.send(peer.headers(1), peer.data(1, b"\0\0", end=False))
    stream = 1
    while not peer.answers[1].ended:
        stream += 2
        peer.send(peer.call(stream))
        assert peer.answer(stream).grpc_status == 0
        time.sleep(0.01)
    assert peer.answers[1].grpc_status == 4
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1
    assert not peer.goaways


def test_an_answer_that_the_window_does_not_let_out(serve, connect):
    server, address = serve(stall_timeout_ms=STALL)
    peer = connect(address, settings={4: 0})
    peer.send(peer.call(1))
    assert peer.goaway() == ENHANCE_YOUR_CALM
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


def test_a_peer_that_never_reads(serve, connect):
    """We stop reading from it when its answers pile up, and hang up when they stay."""
    server, address = serve(stall_timeout_ms=STALL, max_output=100_000, max_streams=1000)
    peer = connect(address, receive_buffer=4096, settings={4: 1 << 20})
    peer.send(peer.window(0, 1 << 30))
    body = framed(pb.CheckBatchRequest(requests=[pb.CheckRequest(path="/deny")] * 100).SerializeToString())
    stream = 1
    while peer.try_send(peer.call(stream, body, BATCH)):
        stream += 2
    assert server.stats()["abuse"] == [0, 0, 0, 0, 0, 0, 1, 0]
    wait_for(lambda: server.connections() == 0)


def test_a_peer_that_reads_slowly_but_steadily_is_kept(serve, connect, tmp_path):
    """As long as what waited at the beginning of a stall period has left by its end."""
    server, address = serve(f"unix:{tmp_path}/s", stall_timeout_ms=LONG_STALL, max_output=50_000)
    peer = connect(address, settings={4: 1 << 20})
    peer.send(peer.window(0, 1 << 24))
    body = framed(pb.CheckBatchRequest(requests=[pb.CheckRequest(path="/deny")] * 100).SerializeToString())
    streams = range(1, 241, 2)
    began = time.monotonic()
    peer.send(*[peer.call(i, body, BATCH) for i in streams])
    while not all(peer.answers[i].ended for i in streams):
        assert not peer.eof
        time.sleep(0.03)
        peer.read(1)
    assert time.monotonic() - began > LONG_STALL / 1000
    assert all(peer.answers[i].grpc_status == 0 for i in streams)
    assert server.stats()["abuse"][ABUSE["stalled"]] == 0


def test_idle_connections_leave_gracefully(serve, connect):
    """GOAWAY without an error; a connection with calls is not idle."""
    server, address = serve(idle_timeout_ms=100)
    peer = connect(address)
    peer.send(peer.call(1))
    began = time.monotonic()
    assert peer.goaway() == NO_ERROR
    assert time.monotonic() - began >= 0.09
    assert [f.last_stream_id for f in peer.goaways] == [(1 << 31) - 1, 1]
    assert sum(server.stats()["abuse"]) == 0


def test_a_quiet_peer_is_left_alone(serve, connect):
    """Between calls nobody owes anybody anything: stall timeouts do not apply, half-read frames or not."""
    server, address = serve(stall_timeout_ms=50)
    peer = connect(address)
    peer.send(peer.call(1))
    assert peer.answer(1).grpc_status == 0
    peer.read(0.2)
    peer.send(PingFrame(0, opaque_data=b"x" * 8), peer.call(3))
    assert peer.answer(3).grpc_status == 0
    assert server.stats()["abuse"][ABUSE["stalled"]] == 0
