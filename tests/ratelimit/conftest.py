"""A real `ratelimitd serve` with a configuration directory, asked by a real gRPC client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.control.conftest import Server
from tests.model.descriptors import Asked
from tests.ratelimit.messages import METHOD, Request, Response, request

CONFIG = """\
domain: edge
descriptors:
  - key: user
    rate_limit: {unit: day, requests_per_unit: 2, name: per-user}
  - key: banned
    rate_limit: {unit: day, requests_per_unit: 0}
  - key: free
    rate_limit: {unlimited: true}
  - key: watched
    shadow_mode: true
    rate_limit: {unit: day, requests_per_unit: 0}
"""
POLICY = """\
version: 1
domain: shop
limits:
  per-ip: {match: {descriptor.remote_address: {present: true}}, key: client.ip, limit: 2, window: 30s}
  per-key: {match: {attribute.descriptor: plan|key}, key: descriptor.key, limit: 1, window: 1d, algorithm: fixed_window}
"""


class Caller:
    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.method = self.channel.unary_unary(
            METHOD, request_serializer=Request.SerializeToString, response_deserializer=Response.FromString
        )

    def ask(self, domain: str, *asked: Asked, hits: int = 0) -> Any:
        return self.method(request(domain, *asked, hits=hits), timeout=10, wait_for_ready=True)


Serving = Callable[..., tuple[Server, Caller]]


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    directory = tmp_path / "config"
    directory.mkdir()
    (directory / "edge.yaml").write_text(CONFIG)
    return directory


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    started: list[tuple[Server, Caller]] = []

    def start(*arguments: str, **environ: str) -> tuple[Server, Caller]:
        command = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", *arguments]
        server = Server(command, environ)
        started.append((server, Caller(server.addresses[0])))
        return started[-1]

    yield start
    for server, caller in started:
        caller.channel.close()
        server.process.kill()
        server.process.wait()


def one(key: str, value: str = "x", **more: Any) -> Asked:
    return Asked([(key, value)], **more)
