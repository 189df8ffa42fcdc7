"""The messages of Envoy's rate limit service, from the descriptors that we serve for reflection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

import ratelimitd
from tests.model.descriptors import Asked, Status

UNITS = ["unknown", "second", "minute", "hour", "day", "month", "year", "week"]


def message_class(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


def _pool() -> descriptor_pool.DescriptorPool:
    files = descriptor_pb2.FileDescriptorSet.FromString(
        (Path(ratelimitd.__file__).parent / "_descriptors.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


POOL = _pool()
Request = message_class("envoy.service.ratelimit.v3.RateLimitRequest")
Response = message_class("envoy.service.ratelimit.v3.RateLimitResponse")
METHOD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


def request(domain: str, *asked: Asked, hits: int = 0) -> Any:
    made = Request(domain=domain, hits_addend=hits)
    for one in asked:
        descriptor = made.descriptors.add()
        for key, value in one.entries:
            descriptor.entries.add(key=key, value=value)
        if one.hits is not None:
            descriptor.hits_addend.value = one.hits
        descriptor.is_negative_hits = one.refund
        if one.limit is not None:
            descriptor.limit.requests_per_unit = one.limit[0]
            descriptor.limit.unit = UNITS.index(one.limit[1])
    return made


def statuses(response: Any) -> list[Status]:
    """As the model has them."""
    return [
        Status(
            status.code == 2,
            (
                status.current_limit.requests_per_unit,
                UNITS[status.current_limit.unit],
                status.current_limit.name,
            )
            if status.HasField("current_limit")
            else None,
            status.limit_remaining,
            status.duration_until_reset.seconds,
        )
        for status in response.statuses
    ]


def metadata(response: Any) -> dict[str, Any]:
    return dict(json_format.MessageToDict(response.dynamic_metadata).get("metadata", {}))
