"""How servers and connections begin and end: dealing, limits, age, drain, stop."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time

import grpc
import pytest
from http2_peer import NO_ERROR, Peer, check_request, wait_for
from ratelimitd._ext.net.probe import Server

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs

# Each channel its own connection. No retry policy: the client repeats only what it has not sent when the GOAWAY comes.
# (With "grpc.enable_retries" 0 not even that: grpc then fails calls of its own queue, whatever the server does.)
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


def test_connections_are_dealt_evenly(serve, connect):
    """Sixteen connections on two workers: eight each, and again after half of them have gone."""
    server, address = serve(workers=2)
    peers = [connect(address) for _ in range(16)]
    for peer in peers:
        peer.send(peer.call(1))
        assert peer.answer(1).grpc_status == 0
    assert server.stats()["connections_by_worker"] == [8, 8]
    for peer in peers[:5]:
        peer.close()
    wait_for(lambda: server.connections() == 11)
    more = [connect(address) for _ in range(5)]
    for peer in more:
        peer.send(peer.call(1))
        peer.answer(1)
    assert server.stats()["connections_by_worker"] == [8, 8]
    assert server.stats()["connections_accepted"] == 21


def test_too_many_connections(serve, connect):
    """Beyond the limit connections are closed at once and counted; a place that becomes free is used."""
    server, address = serve(max_connections=3)
    peers = [connect(address) for _ in range(3)]
    for peer in peers:
        peer.send(peer.call(1))
        peer.answer(1)
    extra = connect(address, preface=b"", settings=None)
    extra.read_until(lambda: extra.eof)
    assert server.stats()["connections_refused"] == 1
    peers[0].close()
    wait_for(lambda: server.connections() == 2)
    late = connect(address)
    late.send(late.call(1))
    assert late.answer(1).grpc_status == 0


def test_without_descriptors_left(serve):
    """When the process has no file descriptor left, connections are refused, not left hanging."""
    server, address = serve()
    host, port = address.split(":")
    clients = [socket.socket() for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null") as probe:
        highest = probe.fileno()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        for client in clients:
            client.settimeout(5)
            client.connect((host, int(port)))
        for client in clients:
            assert client.recv(1) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for client in clients:
            client.close()
    assert server.stats()["connections_refused"] == 3
    peer = Peer(address)
    peer.send(peer.call(1))
    assert peer.answer(1).grpc_status == 0
    peer.close()


def test_old_connections_leave_gracefully(serve, connect):
    """After its age: GOAWAY twice, and the call in flight is finished."""
    _, address = serve(max_connection_age_ms=100)
    began = time.monotonic()
    peer = connect(address)
    peer.send(peer.headers(1))
    peer.read_until(lambda: len(peer.goaways) == 2)
    assert 0.085 <= time.monotonic() - began < 1
    assert [(f.last_stream_id, f.error_code) for f in peer.goaways] == [((1 << 31) - 1, NO_ERROR), (1, NO_ERROR)]
    peer.send(peer.call(3), peer.data(1, check_request("/deny")))
    assert peer.answer(1).check().status == 429
    assert peer.goaway() == NO_ERROR
    assert 3 not in peer.answers


def test_grace_ends(serve, connect):
    """A call that does not end holds an old connection only for the grace period."""
    server, address = serve(max_connection_age_ms=50, max_connection_age_grace_ms=100)
    peer = connect(address)
    peer.answer_pings = False
    peer.send(peer.headers(1))
    peer.read_until(lambda: peer.eof)
    assert [f.last_stream_id for f in peer.goaways] == [(1 << 31) - 1, 1]
    wait_for(lambda: server.connections() == 0)


def test_clients_survive_max_age(serve):
    """A client that goes on calling notices nothing of connections that grow old."""
    server, address = serve(workers=2, max_connection_age_ms=60)

    async def run() -> int:
        calls = 0
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stub = stubs.RateLimitServiceStub(channel)
            until = time.monotonic() + 0.6
            while time.monotonic() < until:
                await asyncio.gather(*[stub.Check(pb.CheckRequest(path="/a"), timeout=5) for _ in range(8)])
                calls += 8
        return calls

    assert asyncio.run(run()) == server.checks()
    assert server.stats()["connections_accepted"] >= 4


def test_drain_under_load_fails_no_call(serve, tmp_path):
    """A rolling restart: while callers go on, a successor takes the address and the old server drains."""
    path = tmp_path / "s"
    old, address = serve(f"unix:{path}", workers=2)
    answered = 0
    done = False

    async def caller(stub: stubs.RateLimitServiceStub) -> None:
        nonlocal answered
        while not done:
            await stub.Check(pb.CheckRequest(path="/a"), timeout=5)
            answered += 1

    async def run() -> Server:
        nonlocal done
        channels = [grpc.aio.insecure_channel(address, options=OPTIONS) for _ in range(4)]
        callers = [asyncio.create_task(caller(stubs.RateLimitServiceStub(c))) for c in channels for _ in range(16)]
        while old.checks() < 500:
            await asyncio.sleep(0.001)
        path.unlink()
        successor, _ = serve(f"unix:{path}", workers=2)
        old.drain()
        while old.connections() or successor.checks() < 500:
            await asyncio.sleep(0.001)
        done = True
        await asyncio.gather(*callers)
        for channel in channels:
            await channel.close()
        return successor

    successor = asyncio.run(asyncio.wait_for(run(), 20))
    assert answered == old.checks() + successor.checks()
    assert sum(old.stats()["grpc_errors"]) == 0


def test_drain_waits_for_calls_in_flight(serve, connect):
    """A half-sent call can still be finished; new streams are not served; the listener is closed."""
    server, address = serve()
    peer = connect(address)
    peer.send(peer.headers(1), peer.data(1, check_request("/deny")[:4], end=False))
    peer.read_until(lambda: bool(peer.frames))
    idle = connect(address)
    wait_for(lambda: server.connections() == 2)
    server.drain()
    with pytest.raises(ConnectionRefusedError):
        Peer(address)
    assert idle.goaway() == NO_ERROR
    idle.close()
    peer.read_until(lambda: len(peer.goaways) == 2)
    peer.send(peer.call(3), peer.data(1, check_request("/deny")[4:]))
    assert peer.answer(1).check().status == 429
    assert peer.goaway() == NO_ERROR
    assert 3 not in peer.answers
    peer.close()
    wait_for(lambda: server.connections() == 0)


def test_stop_ends_everything(serve, connect):
    """Without a drain too, at once, and twice if need be."""
    server, address = serve(workers=2)
    peers = [connect(address) for _ in range(4)]
    for peer in peers:
        peer.send(peer.headers(1))
    wait_for(lambda: server.connections() == 4)
    server.stop()
    server.stop()
    for peer in peers:
        peer.read_until(lambda p=peer: p.eof)
    assert server.stats()["connections_closed"] == 4
    assert len([t for t in os.listdir("/proc/self/task") if _name(t).startswith("rl-")]) == 0


def _name(task: str) -> str:
    try:
        with open(f"/proc/self/task/{task}/comm") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def test_out_of_order():
    """What comes at the wrong time is an error, not a crash."""
    server = Server()
    address = server.listen("127.0.0.1:0")
    server.start()
    with pytest.raises(OSError, match="started before") as error:
        server.start()
    assert error.value.errno == -4
    with pytest.raises(OSError, match="listen before start"):
        server.listen("127.0.0.1:0")
    with pytest.raises(OSError, match="before start"):
        server.set_descriptors(b"")
    server.drain()
    server.drain()
    server.stop()
    server.drain()
    with pytest.raises(ConnectionRefusedError):
        Peer(address)
    Server().stop()
    Server().drain()
