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


@pytest.fixture(scope="session")
def message(descriptors: bytes) -> Callable[[str], MessageClass]:
    """message("ratelimitd.v1.CheckRequest") is that class, from a pool of its own."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
