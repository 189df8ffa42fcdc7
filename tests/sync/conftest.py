"""Stores that many tests share. A test that breaks one takes its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import servers

POLICY = """\
version: 1
domain: shop
limits:
  per-ip: {key: client.ip, limit: 1000, window: 1h}
  fixed: {match: {path: /fixed}, key: client.ip, limit: 500, window: 1h, algorithm: fixed_window}
  leased: {match: {path: /leased}, key: client.ip, limit: 300, window: 1h, consistency: leased}
"""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Redis]:
    with servers.single(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def store(redis_server: servers.Redis) -> servers.Redis:
    """Empty, and running."""
    redis_server.client.flushall()
    return redis_server


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path
