"""The services that operators' tools expect: grpc.health.v1 and server reflection."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from http2_peer import framed, wait_for
from ratelimitd._ext.net.probe import Server

import ratelimitd

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
OURS = "ratelimitd.v1.RateLimitService"
WATCH = "/grpc.health.v1.Health/Watch"


def test_health_check(serve):
    """The server as a whole and each service by name; an unknown one is NOT_FOUND."""
    server, address = serve()
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", OURS, "envoy.service.auth.v3.Authorization"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == SERVING
        server.set_health(NOT_SERVING)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == NOT_SERVING
        with pytest.raises(grpc.RpcError) as error:
            stub.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=5)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch(serve):
    """First the state as it is, then each change, and UNAVAILABLE when the server leaves."""
    server, address = serve()
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=OURS), timeout=10)
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="no.Such"), timeout=10)
        assert next(watch).status == SERVING
        assert next(unknown).status == SERVICE_UNKNOWN
        for state in (NOT_SERVING, SERVING):
            server.set_health(state)
            assert next(watch).status == state
        server.drain()
        assert next(watch).status == NOT_SERVING
        for stream in (watch, unknown):
            with pytest.raises(grpc.RpcError) as error:
                next(stream)
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        wait_for(lambda: server.connections() == 0)


def test_watchers_are_bounded(serve, connect):
    """Sixteen on one connection; one that is cancelled makes room."""
    _, address = serve()
    peer = connect(address)
    peer.send(*[peer.call(i, framed(b""), WATCH) for i in range(1, 35, 2)])
    assert peer.answer(33).grpc_status == 8
    assert not any(peer.answers[i].ended for i in range(1, 33, 2))
    peer.send(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08")
    peer.send(peer.call(35, framed(b""), WATCH))
    peer.read_until(lambda: bool(peer.answers[35].body))
    assert not peer.answers[35].ended


def test_a_watcher_that_does_not_read(serve, connect):
    """It gets what the window lets out, however often the state changes, and is hung up on in the end."""
    server, address = serve(stall_timeout_ms=150)
    peer = connect(address, settings={4: 3})
    peer.send(peer.call(1, framed(b""), WATCH))
    peer.read_until(lambda: len(peer.answers[1].body) == 3)
    for i in range(100):
        server.set_health(1 + i % 2)
    peer.read_until(lambda: peer.eof)
    assert server.stats()["abuse"][6] == 1


@pytest.fixture
def described(serve):
    server = Server()
    server.set_descriptors((Path(ratelimitd.__file__).parent / "_descriptors.binpb").read_bytes())
    address = server.listen("127.0.0.1:0")
    server.start()
    yield server, address
    server.stop()


def test_reflection_serves_a_real_client(described):
    """grpcio's reflection client can rebuild our contract from what it is told."""
    _, address = described
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert OURS in database.get_services()
        service = DescriptorPool(database).FindServiceByName(OURS)
        assert [m.name for m in service.methods] == ["Check", "CheckBatch", "InspectResponse"]
        assert service.methods[0].input_type.fields_by_name["path"].number == 4


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_streams(described, version):
    """Many requests on one stream, each answered in turn; the stream ends with OK when the client has no more."""
    server, address = described
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=OURS),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such"),
    ] * 20
    with grpc.insecure_channel(address) as channel:
        method = channel.stream_stream(
            path,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = list(method(iter(requests), timeout=10))
    kinds = [a.WhichOneof("message_response") for a in answers]
    assert kinds == ["list_services_response", "file_descriptor_response", "error_response"] * 20
    assert server.stats()["calls"][5] == 1


def test_reflection_by_hand(described, connect):
    """Messages cut anywhere, several in one frame, and one that ends too early."""
    _, address = described
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    one = framed(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
    peer = connect(address)
    peer.send(peer.headers(1, path))
    stream = one * 5
    for i in range(0, len(stream), 3):
        peer.send(peer.data(1, stream[i : i + 3], end=False))
    peer.send(peer.data(1, b""))
    whole = peer.answer(1)
    assert whole.grpc_status == 0
    peer.send(peer.headers(3, path), peer.data(3, stream))
    assert peer.answer(3).body == whole.body
    peer.send(peer.headers(5, path), peer.data(5, stream[:-1]))
    assert peer.answer(5).grpc_status == 13
    peer.send(peer.headers(7, path), peer.data(7, framed(b"\xff")))
    assert peer.answer(7).grpc_status == 3


def test_reflection_answers_are_bounded(described, connect):
    """A client that asks and does not read is told to stop."""
    _, address = described
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    one = framed(reflection_pb2.ServerReflectionRequest(file_containing_symbol=OURS).SerializeToString())
    peer = connect(address, settings={4: 0})
    peer.send(peer.headers(1, path))
    for _ in range(20):
        peer.send(peer.data(1, one * 50, end=False))
    peer.send(peer.window(1, 1 << 24), peer.window(0, 1 << 24))
    assert peer.answer(1).grpc_status == 8


def test_without_descriptors_reflection_is_unimplemented(serve):
    _, address = serve()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as error:
        list(
            reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
            )
        )
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_descriptors_must_parse():
    with pytest.raises(OSError, match="FileDescriptorSet"):
        Server().set_descriptors(b"\xff\xff")
