"""The official protobuf runtime as the judge: every message of ours and Envoy's, from the descriptors that we serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import ratelimitd

MessageClass = Callable[..., Any]


@pytest.fixture(scope="session")
def descriptors() -> bytes:
    """The serialized FileDescriptorSet of all that we serve."""
    return (Path(ratelimitd.__file__).parent / "_descriptors.binpb").read_bytes()


def _classes(files: descriptor_pb2.FileDescriptorSet) -> Callable[[str], MessageClass]:
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


@pytest.fixture(scope="session")
def message(descriptors: bytes) -> Callable[[str], MessageClass]:
    """message("ratelimitd.v1.CheckRequest") is that class, from a pool of its own."""
    return _classes(descriptor_pb2.FileDescriptorSet.FromString(descriptors))


def _loosen(kind: descriptor_pb2.DescriptorProto) -> None:
    kind.options.ClearField("map_entry")
    for field in kind.field:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES
    for nested in kind.nested_type:
        _loosen(nested)


@pytest.fixture(scope="session")
def raw_message(descriptors: bytes) -> Callable[[str], MessageClass]:
    """The same messages as our decoder sees them: strings are bytes of any kind, maps are lists of entries."""
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    for file in files.file:
        for kind in file.message_type:
            _loosen(kind)
    return _classes(files)
