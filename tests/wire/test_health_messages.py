"""The messages of grpc.health.v1."""

from __future__ import annotations

import pytest

from ratelimitd._ext.wire import probe


def test_messages(message):
    request = message("grpc.health.v1.HealthCheckRequest")
    for service in ("", "ratelimitd.v1.RateLimitService", "x" * 300):
        assert probe.health_request(request(service=service).SerializeToString()) == service.encode()
    response = message("grpc.health.v1.HealthCheckResponse")
    for status in range(4):
        assert response.FromString(probe.health_response(status)).status == status


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x01", b"\xff", b"\x0c", b"\x00\x01"])
def test_malformed(data):
    with pytest.raises(ValueError, match="HealthCheckRequest"):
        probe.health_request(data)


def test_every_service_but_reflection_has_a_health(message):
    for known in (
        "",
        "envoy.service.auth.v3.Authorization",
        "ratelimitd.v1.RateLimitService",
        "grpc.health.v1.Health",
        "ratelimit",
    ):
        assert probe.health_knows(known.encode())
    for unknown in ("nobody", "ratelimitd.v1.RateLimitServic", "grpc.health.v1.Health "):
        assert not probe.health_knows(unknown.encode())
