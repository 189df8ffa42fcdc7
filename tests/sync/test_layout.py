"""Names of keys: one slot to a shard, shards spread evenly."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from ratelimitd.sync.layout import SHARDS, SLOTS, Layout, expires_at_ms


def test_all_keys_of_a_shard_are_in_its_slot() -> None:
    layout = Layout("ratelimitd")
    for shard in range(SHARDS):
        keys = [layout.generations[shard], layout.counts(shard, 60_000, 1, 7), layout.counts(shard, 1000, 8, 9)]
        assert {key_slot(key.encode()) for key in keys} == {layout.slots[shard]}
    assert {key_slot(key.encode()) for key in (layout.nodes, layout.hash_key, layout.events)} == {layout.slot}


@pytest.mark.parametrize("masters", [1, 2, 3, 5, 16, 64])
def test_masters_have_as_many_shards_as_slots(masters: int) -> None:
    layout = Layout("shop")
    shares = [0] * masters
    for slot in layout.slots:
        shares[slot * masters // SLOTS] += 1
    assert max(shares) - min(shares) <= 2


def test_a_span_outlives_the_windows_that_it_counts_in() -> None:
    assert expires_at_ms(60_000, 1, 10) == 12 * 60_000 + 60_000
    assert expires_at_ms(60_000, 4, 10) == 15 * 15_000 + 60_000
