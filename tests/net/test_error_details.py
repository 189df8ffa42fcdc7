"""What an error tells programs: google.rpc.Status in grpc-status-details-bin."""

from __future__ import annotations

import base64

import grpc
import pytest
from google_rpc import details_of
from http2_peer import CHECK

from ratelimitd.v1 import ratelimit_pb2 as pb

BATCH = "/ratelimitd.v1.RateLimitService/CheckBatch"
ENVOY = "/envoy.service.auth.v3.Authorization/Check"


def failure(address: str, method: str, message: bytes) -> grpc.RpcError:
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(method)(message, timeout=5)
    return error.value


CROWD = {str(i): "x" for i in range(65)}


@pytest.mark.parametrize(
    ("method", "message", "field", "said"),
    [
        (CHECK, pb.CheckRequest(source_address="me"), "source_address", "must be an IP address"),
        (CHECK, pb.CheckRequest(attributes=CROWD), "attributes", "more than 64"),
        (CHECK, b"\x0a\x7f", "", "CheckRequest is not a well-formed"),
        (ENVOY, b"", "attributes.request.http", "missing; call Check from the HTTP filter"),
        (BATCH, pb.CheckBatchRequest(requests=[pb.CheckRequest()] * 4), "requests", "too many for one batch"),
        (
            BATCH,
            pb.CheckBatchRequest(requests=[pb.CheckRequest(), pb.CheckRequest(source_address="é")]),
            "requests[1].source_address",
            "must be an IP address",
        ),
        (BATCH, b"\x0a\x00\x0a\x02\x0a\x7f", "requests[1]", "CheckRequest is not a well-formed"),
        (BATCH, b"\x0a\x7f", "", "CheckBatchRequest is not a well-formed"),
    ],
)
def test_a_bad_field_is_named(serve, method, message, field, said):
    """INVALID_ARGUMENT carries one google.rpc.BadRequest with the path of the field, when one is to blame."""
    server, address = serve(max_batch=3)
    error = failure(address, method, message if isinstance(message, bytes) else message.SerializeToString())
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = details_of(error)
    assert list(details) == ["BadRequest"]
    (violation,) = details["BadRequest"].field_violations
    assert violation.field == field
    assert violation.description.startswith(said)
    assert error.details() == (f"{field}: " if field else "") + violation.description
    assert server.checks() == 0


def test_an_error_without_details_has_no_trailer(serve):
    """Neither an unknown method nor a verdict carries a status in binary."""
    _, address = serve()
    assert details_of(failure(address, "/no.Such/Method", b"")) == {}
    with grpc.insecure_channel(address) as channel:
        _, call = channel.unary_unary(CHECK).with_call(b"", timeout=5)
    assert "grpc-status-details-bin" not in dict(call.trailing_metadata())


def test_the_base64_is_unpadded(serve, connect):
    """As gRPC wants it of a sender, whatever the length is."""
    _, address = serve()
    peer = connect(address)
    for i, message in enumerate([b"\x0a\x7f", pb.CheckRequest(source_address="x").SerializeToString()]):
        peer.send(peer.call(2 * i + 1, b"\0" + len(message).to_bytes(4, "big") + message))
        text = peer.answer(2 * i + 1).headers[-1]["grpc-status-details-bin"]
        assert "=" not in text
        assert len(text) <= 3072
        assert base64.b64decode(text + "=" * (-len(text) % 4), validate=True).startswith(b"\x08\x03\x12")
