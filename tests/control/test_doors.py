"""The process behind its sockets: what real clients, floods of keys and hostile peers get, and what /metrics says."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client.parser import text_string_to_metric_families

from ratelimitd.client import Client, Request
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from tests.net.http2_peer import Peer, check_request, framed

from .conftest import POLICY, Launch, Server

pytestmark = pytest.mark.e2e

SERVICES = {
    "envoy.service.auth.v3.Authorization",
    "envoy.service.ratelimit.v3.RateLimitService",
    "ratelimitd.v1.RateLimitService",
    "grpc.health.v1.Health",
}
REFLECTION = {"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


def value(server: Server, name: str, **labels: str) -> float:
    """One sample of /metrics."""
    text = httpx.get(f"{server.admin}/metrics").raise_for_status().text
    families = text_string_to_metric_families(text)
    return next(s.value for f in families for s in f.samples if s.name == name and s.labels == labels)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that bring clients of their own."""
    path = tmp_path_factory.mktemp("doors") / "shop.yaml"
    path.write_text(POLICY)
    bounds = ["--workers", "2", "--max-keys", "1024", "--stall-timeout-seconds", "0.3", "--max-message", "100000"]
    server = Server(["--policy", str(path), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *bounds], {})
    try:
        server.ready()
        yield server
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def channel(shared: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(shared.addresses[0]) as channel:
        yield channel


# ---- real clients


def test_reflection_tells_a_client_all_that_is_served(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(database.get_services()) == SERVICES | REFLECTION
    pool = DescriptorPool(database)
    for name in SERVICES | REFLECTION:
        assert all(method.input_type.full_name for method in pool.FindServiceByName(name).methods)


def test_health_of_each_service_until_the_end(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy), "--drain-delay-seconds", "30")
    with grpc.insecure_channel(server.addresses[0]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ["", *SERVICES]:
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.stop() == 0


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_batch_is_decided_in_order(channel: grpc.Channel, compression: grpc.Compression) -> None:
    """A client's third login is denied, within one batch as over several; another client is not held to it."""
    ip = f"198.51.100.{compression.value}"
    login = pb.CheckRequest(method="POST", path="/login", source_address=ip)
    other = pb.CheckRequest(method="GET", path="/" + "x" * 2000, source_address=ip)
    batch = pb.CheckBatchRequest(requests=[login, other, login, login])
    answers = stubs.RateLimitServiceStub(channel).CheckBatch(batch, timeout=5, compression=compression).responses
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert (answers[3].reason, answers[3].decided_by) == (pb.REASON_OVER_LIMIT, "login")
    assert [s.name for s in answers[1].limits] == ["per-ip"]


def test_call_over_a_unix_socket_that_a_dead_process_left(launch: Launch, policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    first = launch("--policy", str(policy), "--listen", f"unix:{path}")
    assert first.addresses == [f"unix:{path}"]
    assert path.stat().st_mode & 0o777 == 0o660
    first.stop(signal.SIGKILL)
    assert path.exists()
    second = launch("--policy", str(policy), "--listen", f"unix:{path}?mode=0600")
    second.ready()
    assert path.stat().st_mode & 0o777 == 0o600
    command = [sys.executable, "-m", "ratelimitd", "call", "--address", f"unix:{path}", "--ip", "203.0.113.7"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "ALLOW 200")
    assert second.stop() == 0
    assert not path.exists()


def test_call_over_an_abstract_socket_as_the_ready_line_names_it(launch: Launch, policy: Path, tmp_path: Path) -> None:
    server = launch("--policy", str(policy), "--listen", f"unix:@{tmp_path}")
    assert server.addresses == [f"unix:@{tmp_path}"]
    with Client(server.addresses[0], timeout=5) as client:
        assert client.check(Request(path="/")).allowed


# ---- a flood of keys


def resident(server: Server) -> int:
    """Bytes."""
    return int(value(server, "process_resident_memory_bytes"))


def test_a_flood_of_keys_stays_within_the_cap_and_refills_nobody(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy), "--max-keys", "1024")
    known = Request(method="POST", path="/login", source_address="203.0.113.7")
    before = 0
    with Client(server.addresses[0], timeout=10) as client:
        assert [client.check(known).allowed for _ in range(3)] == [True, True, False]
        for turn in range(300):
            flood = [f"10.{turn >> 8}.{turn & 255}.{n}" for n in range(100)]
            client.check_many([Request(path="/", source_address=ip) for ip in flood])
            if turn % 50 == 0:
                assert value(server, "ratelimitd_keys") <= 1024
                before = before or resident(server)
        assert not client.check(known).allowed
    assert value(server, "ratelimitd_keys") <= value(server, "ratelimitd_keys_max") == 1024
    assert value(server, "ratelimitd_evictions_total") + value(server, "ratelimitd_sketched_total") > 10_000
    assert resident(server) - before < 16 << 20


# ---- hostile peers


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


HEADERS, RST_STREAM, PING, CONTINUATION = 1, 3, 6, 9


def rapid_resets(peer: Peer) -> None:
    for stream in range(1, 4001, 2):
        if not peer.try_send(peer.call(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))):
            break


ABUSES: dict[str, Callable[[Peer], object]] = {
    "protocol_error": lambda peer: peer.send(frame(PING, 0, 0, b"1234567")),
    "header_bomb": lambda peer: peer.try_send(frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1) * 1000),
    "rapid_reset": rapid_resets,
    "control_flood": lambda peer: peer.try_send(frame(PING, 0, 0, bytes(8)) * 20_000),
    "oversized": lambda peer: peer.send(peer.headers(1), peer.data(1, bytes([0]) + (1 << 20).to_bytes(4, "big"))),
    "malformed": lambda peer: peer.send(peer.call(1, framed(b"\xff" * 9))),
    "stalled": lambda peer: peer.send(peer.headers(1), peer.data(1, check_request()[:7], end=False)),
}
STATUSES = {"oversized": 8, "malformed": 3}  # the others cost the connection


@pytest.mark.parametrize("kind", ABUSES)
def test_abuse_is_answered_counted_and_harms_nobody_else(shared: Server, kind: str) -> None:
    before = value(shared, "ratelimitd_abuse_total", kind=kind)
    neighbour, peer = Peer(shared.addresses[0]), Peer(shared.addresses[0])
    try:
        ABUSES[kind](peer)
        if kind in STATUSES:
            assert peer.answer(1).grpc_status == STATUSES[kind]
        else:
            peer.read_until(lambda: peer.eof)
        neighbour.send(neighbour.call(1, check_request(source_address="192.0.2.1")))
        assert neighbour.answer(1).check().decision == pb.DECISION_ALLOW
    finally:
        peer.close()
        neighbour.close()
    assert value(shared, "ratelimitd_abuse_total", kind=kind) == before + 1


def test_answers_that_nobody_reads_cost_little_more_than_their_bytes(launch: Launch, policy: Path) -> None:
    """A peer whose windows let nothing out has its answers kept, each in memory of its own."""
    server = launch("--policy", str(policy))
    with Client(server.addresses[0], timeout=5) as client:
        assert client.check(Request(path="/")).allowed
        before, calls = resident(server), range(1, 1801, 2)
        peers = [Peer(server.addresses[0], settings={4: 0}) for _ in range(20)]  # initial window: 0
        for peer in peers:
            peer.send(*[peer.call(stream) for stream in calls])
        made = len(peers) * len(calls)
        server.until(lambda: value(server, "ratelimitd_calls_total", method="check") > made)
        assert resident(server) - before < made * 2500
        assert client.check(Request(path="/", source_address="192.0.2.1")).allowed
        for peer in peers:
            peer.close()


def test_unknown_methods_and_passed_deadlines_are_counted(shared: Server) -> None:
    unknown = value(shared, "ratelimitd_grpc_errors_total", code="UNIMPLEMENTED")
    passed = value(shared, "ratelimitd_deadline_passed_total")
    peer = Peer(shared.addresses[0])
    try:
        peer.send(peer.call(1, path="/no.Such/Method"), peer.call(3, extra=[("grpc-timeout", "0n")]))
        assert peer.answer(1).grpc_status == 12
        assert peer.answer(3).grpc_status == 4
        assert len(peer.answers[1].headers) == 1, "an error alone is trailers only"
    finally:
        peer.close()
    assert value(shared, "ratelimitd_grpc_errors_total", code="UNIMPLEMENTED") == unknown + 1
    assert value(shared, "ratelimitd_deadline_passed_total") == passed + 1
