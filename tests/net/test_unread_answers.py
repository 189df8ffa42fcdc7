"""Peers that ask and never read: what all of them may hold is bounded, nobody else suffers, and memory comes back."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from http2_peer import ABUSE, PREFACE, Peer, dial, wait_for
from hyperframe.frame import SettingsFrame

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs

MIB = 1 << 20
SANITIZED = "RATELIMITD_SANITIZE" in os.environ
needs_malloc = pytest.mark.skipif(SANITIZED, reason="the allocator of a sanitizer keeps what is freed")
BATCH = "/ratelimitd.v1.RateLimitService/CheckBatch"
STREAMS = 1000


def resident() -> int:
    """Bytes of this process, the server's among them, that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def questions(serve) -> bytes:
    """The frames of STREAMS calls by a peer whose windows let no answer out."""
    _, address = serve()
    with closing(Peer(address)) as peer:
        calls = [peer.call(i) for i in range(1, 2 * STREAMS, 2)]
    return PREFACE + SettingsFrame(0, settings={4: 0}).serialize() + b"".join(calls)


@contextmanager
def attackers(address: str, count: int, questions: bytes) -> Iterator[None]:
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(dial(address, 5))
            try:
                sockets[-1].sendall(questions)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it was hung up on already
        yield
    finally:
        for sock in sockets:
            sock.close()


class Bystander(threading.Thread):
    """Calls all the time, by a connection of its own; a call that fails is in `failed`, the slowest in `slowest`."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.calls, self.slowest = 0, 0.0
        self.failed: list[Exception] = []
        self.done = threading.Event()

    def run(self) -> None:
        with grpc.insecure_channel(self.address) as channel:
            stub = stubs.RateLimitServiceStub(channel)
            while not self.done.is_set():
                began = time.monotonic()
                try:
                    stub.Check(pb.CheckRequest(path="/deny"), timeout=5)
                except grpc.RpcError as error:
                    self.failed.append(error)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.calls += 1

    def __enter__(self) -> Bystander:
        self.start()
        wait_for(lambda: self.calls > 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def test_what_nobody_reads_is_bounded(serve, questions, connect):
    """The offenders are hung up on and counted; a caller that reads, and one that only watches, are not."""
    server, address = serve(max_unread=16 * MIB, max_streams=STREAMS)
    watcher = connect(address)
    watcher.send(watcher.headers(1, "/grpc.health.v1.Health/Watch"), watcher.data(1, bytes(5)))
    watcher.read_until(lambda: bool(watcher.answers[1].body))
    before = resident()
    with Bystander(address) as bystander:
        with attackers(address, 100, questions):
            wait_for(lambda: server.stats()["calls"][1] >= 90 * STREAMS)
            stats = server.stats()
            assert 8 * MIB < stats["unread_bytes"] <= 16 * MIB
            assert stats["abuse"][ABUSE["unread"]] >= 50
            if not SANITIZED:
                assert resident() - before < 80 * MIB  # 100 connections without the bound: about 130 MiB more
        wait_for(lambda: server.connections() == 2)
    assert bystander.failed == []
    assert bystander.slowest < 2
    assert not watcher.eof
    watcher.answers[1].body = b""
    server.set_health(2)
    watcher.read_until(lambda: bool(watcher.answers[1].body))
    assert server.stats()["unread_bytes"] < MIB


@needs_malloc
def test_memory_comes_back(serve, questions):
    """After the attack the process is about as small as before, while calls go on."""
    server, address = serve(max_unread=1 << 30, max_streams=STREAMS)
    with attackers(address, 1, questions):  # what is allocated once and for all
        wait_for(lambda: server.stats()["unread_bytes"] > MIB)
    before = resident()
    with Bystander(address) as bystander:
        with attackers(address, 100, questions):
            wait_for(lambda: server.stats()["calls"][1] >= 101 * STREAMS)
            held = resident() - before
            counted = server.stats()["unread_bytes"]
        assert held > 80 * MIB
        assert 0.6 < counted / held < 1.6
        wait_for(lambda: resident() - before < held / 5, 10)
    assert bystander.failed == []
    assert bystander.slowest < 2


@needs_malloc
def test_memory_of_half_sent_messages_comes_back(serve, connect):
    """They have a bound of their own; what they took is given back like the rest."""
    server, address = serve(max_streams=STREAMS)
    peers = [connect(address) for _ in range(20)]
    before = resident()
    for peer in peers:
        for i in range(1, 61, 2):
            peer.send(peer.headers(i), peer.data(i, (100_000).to_bytes(5, "big") + bytes(16_000), end=False))
            peer.send(peer.data(i, bytes(16_000), end=False), peer.data(i, bytes(16_000), end=False))
    wait_for(lambda: server.stats()["bytes_read"] > 20 * 30 * 48_000)
    held = resident() - before
    assert held > 20 * MIB
    for peer in peers:
        peer.close()
    wait_for(lambda: resident() - before < held / 3, 10)


def test_a_turn_of_many_answers_is_bounded_too(serve, connect):
    """Amplification: small batches with large answers, in one read."""
    server, address = serve(max_unread=4 * MIB, max_streams=STREAMS, max_output=8 * MIB)
    batch = b"\0\0\0\0\xc8" + b"\x0a\x00" * 100
    peers = [connect(address, settings={4: 0}) for _ in range(4)]
    for peer in peers:
        peer.try_send(b"".join(peer.call(i, batch, BATCH) for i in range(1, 999, 2)))
    wait_for(lambda: server.stats()["abuse"][ABUSE["unread"]] >= 1)
    assert server.stats()["unread_bytes"] <= 4 * MIB
