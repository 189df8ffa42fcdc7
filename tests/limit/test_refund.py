"""Hits that are given back: never more than were counted, never to the harm of what nodes tell each other."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.limit import probe
from tests.model.store import Store
from tests.model.table import Hit
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

from .test_sync import T0, Node, digest

KINDS = [(SLIDING, 1), (SLIDING, 2), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)]
LEASED = 2


def refund(table: probe.Table, rule: Rule, now: int, cost: int, consistency: int = 0) -> int:
    used, remaining, _, over = table.refund((digest(1), rule, cost, False, 0, consistency, 0), now)
    assert not over
    assert remaining == max(0, rule.limit - used)
    return int(used)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sync", [False, True])
def test_what_was_counted_comes_back_and_no_more(kind: tuple[int, int], sync: bool) -> None:
    rule, table = Rule(10, 60_000, *kind), probe.Table(1000, sync=sync)
    assert refund(table, rule, T0, 5) == 0  # nobody knows the key
    assert table.lookup(digest(1), rule, T0) is None
    for _ in range(3):
        assert table.decide([Hit(digest(1), rule, 10)], T0)[0] < 0
        assert table.decide([Hit(digest(1), rule, 1)], T0)[0] == 0
        assert refund(table, rule, T0, 4) == 6
        assert table.decide([Hit(digest(1), rule, 4)], T0)[0] < 0
        assert refund(table, rule, T0, 2**32 - 1) == 0
        assert refund(table, rule, T0, 1) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_of_the_window(kind: tuple[int, int]) -> None:
    """Hits of before, that still count, come back after the newer ones; those that do not are gone."""
    rule, table = Rule(1000, 60_000, *kind), probe.Table(1000)
    start = T0 // 60_000 * 60_000
    table.decide([Hit(digest(1), rule, 100)], start)
    later = start + 60_000
    table.decide([Hit(digest(1), rule, 10)], later)
    assert refund(table, rule, later, 10) == (100 if kind[0] == SLIDING else 0)
    assert refund(table, rule, later, 30) == (70 if kind[0] == SLIDING else 0)
    assert refund(table, rule, start + 200_000, 5) == 0


def test_what_only_the_sketch_knows_stays() -> None:
    rule, table = Rule(1000, 600_000, FIXED, 1), probe.Table(1024)
    for number in range(40_000):
        table.decide([Hit(digest(number), rule, 3)], T0)
    gone = next(n for n in range(40_000) if table.lookup(digest(n), rule, T0) is None)
    used, remaining, _, _ = table.refund((digest(gone), rule, 3, False), T0)
    assert used >= 3
    assert remaining == 1000 - used


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_gives_back_its_own(kind: tuple[int, int]) -> None:
    rule, store, a, b = Rule(100, 600_000, *kind), Store(), Node(1), Node(2)
    for node, cost in ((a, 30), (b, 20)):
        node.hit(1, rule, T0, cost)
        node.flush(store, T0)
    a.hit(1, rule, T0, 0)
    a.hit(1, rule, T0, 1)
    a.flush(store, T0)
    assert a.used(1, rule, T0) == 51
    assert refund(a.table, rule, T0, 100) == 20  # what the other counted stays
    a.hit(1, rule, T0, 5)
    a.flush(store, T0)
    assert a.used(1, rule, T0) == 25
    b.hit(1, rule, T0, 1)
    b.flush(store, T0)
    assert b.used(1, rule, T0) >= 26  # and it goes on with the most that it has heard


@pytest.mark.parametrize("kind", [(SLIDING, 1), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_nobody_knows_less_than_there_is(kind: tuple[int, int], seed: int) -> None:
    """Whatever is given back and lost on the way: after an exchange each node counts at least all that was kept."""
    rng = random.Random(seed)
    rule, store, nodes = Rule(1_000_000, 600_000, *kind), Store(), [Node(1), Node(2), Node(3)]
    now, kept = T0 // 600_000 * 600_000, 0
    for _ in range(200):
        node = rng.choice(nodes)
        if rng.random() < 0.6:
            cost = rng.randint(1, 50)
            assert node.hit(1, rule, now, cost)
            kept += cost
        else:
            before = node.used(1, rule, now)
            kept -= before - refund(node.table, rule, now, rng.randint(1, 60))
        for one in nodes:
            if rng.random() < 0.5:
                one.flush(store, now, heard=rng.random() < 0.8)
    for _ in range(2):
        for one in nodes:
            one.hit(1, rule, now, 1)
            kept += 1
            one.flush(store, now)
    for one in nodes:
        one.hit(1, rule, now, 1)
        kept += 1
        one.flush(store, now)
    assert nodes[-1].used(1, rule, now) >= kept - 2


def test_a_grant_is_spent_again() -> None:
    """A leased limit: what comes back is this node's to spend, and is not granted twice."""
    rule, node = Rule(20, 600_000, FIXED, 1), Node(1)
    hit = (digest(1), rule, 1, False, 0, LEASED, 0)
    assert node.table.decide([hit], T0)[0] == 0  # nothing is granted yet
    assert refund(node.table, rule, T0, 5, LEASED) == 0
    assert node.table.decide([hit], T0)[0] == 0
