"""Server reflection, asked and read through the official runtime."""

from __future__ import annotations

import random

import pytest
from google.protobuf import descriptor_database, descriptor_pb2, descriptor_pool

from ratelimitd._ext.wire import probe

SERVICES = [
    "envoy.service.auth.v3.Authorization",
    "envoy.service.ratelimit.v3.RateLimitService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "ratelimitd.v1.RateLimitService",
]
NOT_FOUND, INVALID_ARGUMENT = 5, 3


@pytest.fixture(scope="module")
def server(descriptors):
    return probe.ReflectionServer(descriptors)


@pytest.fixture(params=["v1", "v1alpha"])
def ask(message, server, request):
    """Asks one question; checks that the answer repeats it."""
    package = f"grpc.reflection.{request.param}"
    request_class = message(f"{package}.ServerReflectionRequest")
    response_class = message(f"{package}.ServerReflectionResponse")

    def ask(**fields):
        question = request_class(host="h.example", **fields)
        found = response_class.FromString(server.answer(question.SerializeToString()))
        assert found.valid_host == "h.example"
        assert found.original_request == question
        return found

    return ask


def files_of(answer):
    assert answer.WhichOneof("message_response") == "file_descriptor_response"
    return [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]


def test_services_are_listed(ask):
    for content in ("", "*"):
        answer = ask(list_services=content)
        assert [service.name for service in answer.list_services_response.service] == SERVICES


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("ratelimitd.v1.RateLimitService", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.RateLimitService.CheckBatch", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.CheckRequest", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.CheckRequest.cost", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.CheckRequest.AttributesEntry", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.Reason", "ratelimitd/v1/ratelimit.proto"),
        ("ratelimitd.v1.REASON_SCAN", "ratelimitd/v1/ratelimit.proto"),
        (
            "envoy.service.auth.v3.AttributeContext.Peer.address",
            "envoy/service/auth/v3/attribute_context.proto",
        ),
        ("envoy.service.auth.v3.CheckResponse.http_response", "envoy/service/auth/v3/external_auth.proto"),
        ("envoy.config.core.v3.HeaderValueOption.HeaderAppendAction", "envoy/config/core/v3/base.proto"),
        ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"),
        ("google.protobuf.NULL_VALUE", "google/protobuf/struct.proto"),
    ],
)
def test_symbols_lead_to_their_file(ask, symbol, file):
    files = files_of(ask(file_containing_symbol=symbol))
    assert files[0].name == file


@pytest.mark.parametrize("service", SERVICES)
def test_an_answer_is_complete(ask, service):
    """A client can build the service from it: every import is there, once."""
    files = files_of(ask(file_containing_symbol=service))
    assert len({file.name for file in files}) == len(files)
    database = descriptor_database.DescriptorDatabase()
    for file in files:
        database.Add(file)
    pool = descriptor_pool.DescriptorPool(database)
    assert pool.FindServiceByName(service).methods


def test_every_file_is_found_by_its_name(ask, descriptors):
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        assert files_of(ask(file_by_filename=file.name))[0] == file


@pytest.mark.parametrize(
    "question",
    [
        {"file_by_filename": "nobody.proto"},
        {"file_by_filename": ""},
        {"file_containing_symbol": "ratelimitd.v1"},
        {"file_containing_symbol": "ratelimitd.v1.CheckReques"},
        {"file_containing_symbol": "ratelimitd.v1.Reason.REASON_SCAN"},
        {"file_containing_symbol": ".ratelimitd.v1.Reason"},
        {"file_containing_extension": {"containing_type": "ratelimitd.v1.CheckRequest", "extension_number": 100}},
        {"all_extension_numbers_of_type": "nobody"},
        {"all_extension_numbers_of_type": "ratelimitd.v1.Reason"},
        {"file_containing_symbol": "\u00e9" * 1000},
    ],
)
def test_the_unknown_is_not_found(ask, question):
    assert ask(**question).error_response.error_code == NOT_FOUND


def test_a_message_without_extensions(ask):
    answer = ask(all_extension_numbers_of_type="ratelimitd.v1.CheckRequest")
    assert answer.WhichOneof("message_response") == "all_extension_numbers_response"
    assert answer.all_extension_numbers_response.base_type_name == "ratelimitd.v1.CheckRequest"
    assert not answer.all_extension_numbers_response.extension_number


def test_a_question_must_be_asked(ask):
    assert ask().error_response.error_code == INVALID_ARGUMENT


@pytest.mark.parametrize("data", [b"\x0a", b"\x3a\x05x", b"\x2a\x02\x0a\x05", b"\x00", b"\x3a\x80\x20" + b"x" * 4096])
def test_malformed_or_huge_questions_are_refused(server, data):
    with pytest.raises(ValueError, match="ServerReflectionRequest"):
        server.answer(data)


def test_a_damaged_descriptor_set_is_refused_or_served(descriptors):
    """No crash, and what loads answers."""
    rng = random.Random(11)
    refused = 0
    for _ in range(300):
        damaged = bytearray(descriptors)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            server = probe.ReflectionServer(bytes(damaged))
        except ValueError:
            refused += 1
            continue
        assert server.answer(b"\x3a\x00")
        server.answer(b"\x22\x1cratelimitd.v1.CheckRequest.x")
    assert 0 < refused < 300
    with pytest.raises(ValueError, match="FileDescriptorSet"):
        probe.ReflectionServer(descriptors[:-1])
