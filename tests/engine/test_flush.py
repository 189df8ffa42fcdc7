"""The engine's face of the cluster: several engines, one store."""

from __future__ import annotations

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from tests.model.store import Store

from .plans import SECOND, START, limit, plan, request

KEY = bytes(range(16))
SHARDS = range(128)


def engine(node: int, most: int = 10) -> Engine:
    out = Engine(max_keys=1000, hash_key=KEY)
    out.sync_start(node)
    out.swap(plan(limit("per-ip", most)))
    return out


def flush(node: int, target: Engine, store: Store, now_ns: int) -> int:
    merged = 0
    for _, groups in target.sync_pack(SHARDS, 2000, now_ns=now_ns):
        replies = store.flush(node, groups, now_ns // 1_000_000)
        merged += target.sync_merge(groups, replies, now_ns=now_ns)
    return merged


def test_two_engines_count_as_one() -> None:
    store, a, b = Store(), engine(1), engine(2)
    for now in range(START, START + 6):
        a.check(request(), now_ns=now)
    b.check(request(), now_ns=START)
    assert flush(1, a, store, START) > 0
    assert flush(2, b, store, START) > 0
    seen = b.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START)
    assert seen is not None
    assert seen["used"] == 7
    assert [b.check(request(), now_ns=START)["decision"] for _ in range(4)] == ["allow"] * 3 + ["deny"]
    sync = b.stats()["sync"]
    assert sync["dirty"] == 1
    assert sync["packed"] == sync["merged"] == 1


def test_the_clock_of_the_cluster_rules() -> None:
    """Two nodes whose clocks are a day apart count in the same windows once they know."""
    store, a, b = Store(), engine(1), engine(2)
    behind = START - 86_400 * SECOND
    b.set_clock_offset(86_400_000)
    a.check(request(), now_ns=START)
    flush(1, a, store, START)
    b.check(request(), now_ns=behind)
    for _, groups in b.sync_pack(SHARDS, 2000, now_ns=behind):
        b.sync_merge(groups, store.flush(2, groups, START // 1_000_000), now_ns=behind)
    seen = b.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=behind)
    assert seen is not None
    assert seen["used"] == 2


def test_a_reset_reaches_the_store() -> None:
    store, a, b = Store(), engine(1), engine(2)
    a.check(request(), now_ns=START)
    flush(1, a, store, START)
    assert not b.reset("shop", "per-ip", ["203.0.113.7"], now_ns=START)  # it knew nothing of it, and says so
    flush(2, b, store, START)
    c = engine(3)
    c.check(request(), now_ns=START)
    flush(3, c, store, START)
    seen = c.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START)
    assert seen is not None
    assert seen["used"] == 1


def test_an_engine_that_counts_alone_says_so() -> None:
    alone = Engine(max_keys=1000)
    assert alone.stats()["sync"] is None
    with pytest.raises(EngineError):
        alone.sync_pack(SHARDS, 10)
    with pytest.raises(EngineError):
        engine(1).sync_pack([128], 10)
