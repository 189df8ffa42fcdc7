"""google.rpc.Status and its details, declared here: the package that has them is not needed for anything else."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, list[tuple[str, int, int, str]]] = {
    "Status": [("code", 1, _FIELD.TYPE_INT32, ""), ("message", 2, _FIELD.TYPE_STRING, ""), ("details", 3, 0, "Any")],
    "FieldViolation": [("field", 1, _FIELD.TYPE_STRING, ""), ("description", 2, _FIELD.TYPE_STRING, "")],
    "BadRequest": [("field_violations", 1, 0, "FieldViolation")],
    "RetryInfo": [("retry_delay", 1, 0, "Duration")],
}


def _declare() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="google.rpc", syntax="proto3")
    file.dependency.extend(["google/protobuf/any.proto", "google/protobuf/duration.proto"])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, embedded in fields:
            label = _FIELD.LABEL_REPEATED if embedded in ("Any", "FieldViolation") else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label, type=kind or _FIELD.TYPE_MESSAGE)
            if embedded:
                added.type_name = f".google.{'rpc' if embedded in _MESSAGES else 'protobuf'}.{embedded}"
    pool.Add(file)
    return {m: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{m}")) for m in _MESSAGES}


_CLASSES = _declare()


def details_of(error: grpc.RpcError) -> dict[str, Any]:
    """The details of a failed call by their type's short name; its status must say what the call says."""
    call: Any = error
    metadata = dict(call.trailing_metadata())
    if "grpc-status-details-bin" not in metadata:
        return {}
    status = _CLASSES["Status"].FromString(metadata["grpc-status-details-bin"])
    assert status.code == call.code().value[0]
    assert status.message == call.details()
    found = {}
    for detail in status.details:
        prefix, _, name = detail.type_url.rpartition("/google.rpc.")
        assert prefix == "type.googleapis.com"
        found[name] = _CLASSES[name].FromString(detail.value)
    return found
