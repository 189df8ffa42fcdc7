"""flush.lua in a real Redis, against tests/model/store.py: repeated, late, out of order, after resets."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd.sync.layout import Layout
from ratelimitd.sync.script import FLUSH, LEASE, SLIDING, arguments, lease_arguments
from tests.model.store import CLEAR, RECORD, REPLACE, Group, Store
from tests.model.store import LEASE as LEASE_RECORD

from .servers import Redis

LAYOUT = Layout("test")
SHARD = 5
STARTED = int(time.time() * 1000)
# About an hour, and such that none ends while the tests run.
WINDOW = next(window for window in range(3_600_000, 7_200_000, 1000) if STARTED % window < window // 4)
NOW = STARTED // WINDOW


def flush(store: Redis, node: int, groups: list[Group], fresh: str = "one") -> list[Any]:
    return store.client.eval(FLUSH.text, *arguments(LAYOUT, node, fresh, (SHARD, groups)))


def group(*records: tuple[int, int, int, int], number: int = NOW) -> Group:
    """(key, incarnation, flags, own)"""
    packed = [RECORD.pack(key.to_bytes(16, "big"), *rest) for key, *rest in records]
    return WINDOW, 1, number, b"".join(packed)


FLAGS = st.sampled_from([0, 0, 0, REPLACE, CLEAR, 1 << 15])
RECORDS = st.tuples(st.integers(0, 5), st.integers(0, 2), FLAGS, st.integers(0, 9))
Sent = list[tuple[int, list[tuple[int, int, int, int]]]]
FLUSHES = st.lists(st.tuples(st.integers(1, 3), st.lists(RECORDS, min_size=1, max_size=8)), min_size=1, max_size=12)


@given(FLUSHES)
@settings(max_examples=200, deadline=None)
def test_it_answers_as_the_model(redis_server: Redis, flushes: Sent) -> None:
    redis_server.client.flushall()
    model = Store()
    for node, records in flushes:
        sent = [group(*records)]
        assert flush(redis_server, node, sent)[2:] == model.flush(node, sent, NOW * WINDOW)


def test_a_flush_may_come_twice_and_late(store: Redis) -> None:
    for own in (10, 30, 30, 20):
        flush(store, 1, [group((1, 0, 0, own))])
    assert flush(store, 2, [group((1, 0, 0, 0))])[2] == (30).to_bytes(4, "little")


def test_reading_writes_nothing_that_counts(store: Redis) -> None:
    flush(store, 1, [group((1, 0, 0, 0))])
    assert store.client.keys("*:c:*") == []


def test_hits_of_many_saturate(store: Redis) -> None:
    for node in range(1, 4):
        flush(store, node, [group((1, 0, 0, 2**32 - 1))])
    assert flush(store, 9, [group((1, 0, 0, 0))])[2] == b"\xff" * 4


def test_thousands_of_records_in_a_call(store: Redis) -> None:
    """More than one chunk, whose last is cut short."""
    many = group(*((key, 0, 0, key) for key in range(1, 2501)))
    flush(store, 1, [many, group((1, 0, 0, 7), number=NOW - 1)])
    reply = flush(store, 2, [many])
    assert reply[2] == b"".join(key.to_bytes(4, "little") for key in range(1, 2501))


def test_everything_written_expires(store: Redis) -> None:
    flush(store, 1, [group((1, 0, 0, 5)), group((1, 0, 0, 5), number=NOW - 1)])
    lives = {key: store.client.pttl(key) for key in store.client.keys("*")}
    assert len(lives) == 3
    assert all(0 < life <= 86_400_000 for life in lives.values())


def test_a_store_that_lost_its_data_says_so(store: Redis) -> None:
    first = flush(store, 1, [group((1, 0, 0, 5))], "one")
    second = flush(store, 2, [group((1, 0, 0, 5))], "two")
    assert first[:2] == [b"one", 1]
    assert second[:2] == [b"one", 2]
    store.client.flushall()
    assert flush(store, 1, [group((1, 0, 0, 6))], "three")[:2] == [b"three", 1]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_with_repeats_ends_in_the_same_counts(store: Redis, seed: int) -> None:
    choose = random.Random(seed)
    sends = [(node, own) for node in (1, 2, 3) for own in range(1, 20)]
    late = [choose.choice(sends) for _ in range(60)] + sends
    choose.shuffle(late)
    for node, own in late:
        flush(store, node, [group((1, node, 0, own))])
    assert flush(store, 9, [group((1, 0, 0, 0))])[2] == (3 * 19).to_bytes(4, "little")


LEASES = st.tuples(st.integers(0, 3), st.integers(0, 1), FLAGS, st.integers(0, 9), st.integers(0, 30), st.just(40))
# Spans that are over, or yet to come: what they weigh does not depend on when the test runs.
CALLS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(0, 20),
        st.sampled_from([(-1, NOW), (SLIDING, NOW - 1), (SLIDING, NOW + 2), (SLIDING, NOW + 3)]),
        st.lists(LEASES, min_size=1, max_size=6, unique_by=lambda record: record[0]),
    ),
    min_size=1,
    max_size=12,
)


@given(CALLS)
@settings(max_examples=80, deadline=None)
def test_grants_are_those_of_the_model(
    redis_server: Redis, calls: list[tuple[int, int, tuple[int, int], list[tuple[int, ...]]]]
) -> None:
    redis_server.client.flushall()
    model = Store()
    for node, call, (parts, number), records in calls:
        packed = b"".join(LEASE_RECORD.pack(key.to_bytes(16, "big"), *rest) for key, *rest in records)
        groups = [(WINDOW, parts, number, packed)]
        answer = redis_server.client.eval(LEASE.text, *lease_arguments(LAYOUT, node, call, (SHARD, groups)))
        assert answer == model.lease(node, call, groups, NOW * WINDOW)


def test_what_is_granted_expires_with_its_window(store: Redis) -> None:
    groups = [(WINDOW, SLIDING, NOW, LEASE_RECORD.pack(bytes(16), 0, 0, 0, 5, 10))]
    store.client.eval(LEASE.text, *lease_arguments(LAYOUT, 1, 1, (SHARD, groups)))
    (key,) = store.client.keys("*:l:*")
    assert 0 < store.client.pttl(key) <= 2 * WINDOW + 60_000
