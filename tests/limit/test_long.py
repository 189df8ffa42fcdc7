"""Fixed windows of more than 49 days: eight times what 32 bits of milliseconds hold."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.limit import probe
from tests.model.store import Store
from tests.model.table import Hit
from tests.model.window import FIXED, Rule

from .test_sync import Node, digest

YEAR = 365 * 86_400_000
NEW_YEAR = YEAR * 55  # ms since the epoch
MOST = 2**32 - 1


def year(limit: int) -> Rule:
    return Rule(limit, YEAR // 8, FIXED, 8)


def test_hits_count_until_the_year_ends() -> None:
    table, rule = probe.Table(1000), year(3)
    for day, over in ((0, False), (100, False), (200, False), (364, True)):
        first, [view] = table.decide([Hit(digest(1), rule)], NEW_YEAR + day * 86_400_000)
        assert (first == 0) == over
        left = YEAR - day * 86_400_000
        assert view[2] == (left if left <= MOST else MOST)
    assert table.decide([Hit(digest(1), rule)], NEW_YEAR + YEAR - 1)[0] == 0
    assert table.decide([Hit(digest(1), rule)], NEW_YEAR + YEAR)[0] < 0
    assert table.lookup(digest(1), rule, NEW_YEAR + YEAR)[:2] == (1, 2)
    assert table.refund((digest(1), rule, 1, False), NEW_YEAR + YEAR)[:2] == (0, 3)


@pytest.mark.parametrize("seed", range(5))
def test_any_clock_that_runs(seed: int) -> None:
    rng = random.Random(seed)
    table, rule, now, counts = probe.Table(1000), year(20), NEW_YEAR - YEAR // 3, {}
    for _ in range(500):
        now += rng.choice([0, 1, 86_400_000, YEAR // 7, YEAR - 1, YEAR]) if rng.random() < 0.3 else 1000
        cost, number = rng.randint(0, 4), now // YEAR
        used = counts.get(number, 0)
        fits = used + cost <= 20
        first, [view] = table.decide([Hit(digest(1), rule, cost)], now)
        assert (first < 0, view[0]) == (fits, used + cost if fits else used)
        counts[number] = used + cost if fits else used


def test_a_full_table_keeps_what_still_counts() -> None:
    """An eighth of a year later nothing has expired."""
    table, rule = probe.Table(1024), year(5)
    for number in range(2000):
        table.decide([Hit(digest(number), rule, 5)], NEW_YEAR)
    later = NEW_YEAR + YEAR // 2
    assert all(table.decide([Hit(digest(number), rule)], later)[0] == 0 for number in range(2000))


def test_nodes_count_as_one() -> None:
    rule, store, a, b = year(1000), Store(), Node(1), Node(2)
    now = NEW_YEAR + YEAR // 2
    for node, cost in ((a, 30), (b, 20), (a, 1), (b, 1)):
        now += 60_000
        node.hit(1, rule, now, cost)
        node.flush(store, now)
    assert (a.used(1, rule, now), b.used(1, rule, now)) == (51, 52)
    a.hit(1, rule, NEW_YEAR + YEAR, 2)
    a.flush(store, NEW_YEAR + YEAR)
    assert a.used(1, rule, NEW_YEAR + YEAR) == 2
