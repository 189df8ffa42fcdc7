"""Leased limits: three nodes that spend only what the store granted them.

The figures of every case are printed: pytest -rP tests/limit/test_lease.py
"""

from __future__ import annotations

import pytest

from ratelimitd._ext.limit import probe
from tests.model.cluster import START, Cluster, shares
from tests.model.store import Store
from tests.model.window import FIXED, SLIDING, Rule

from .test_estimate import CASES
from .test_loss import ALLOW, DENY, FOUND, LOST
from .test_sync import Node, digest

KINDS = {"sliding": (SLIDING, 1), "fixed": (FIXED, 1)}
LEASED = 2


class Leased(Node):
    """Its hits are of a leased limit; every flush also reads and writes leases."""

    calls = 0

    def ask(self, rule: Rule, now: int, cost: int = 1, on_loss: int = 0) -> bool:
        return bool(self.table.decide([(digest(1), rule, cost, False, 0, LEASED, on_loss)], now)[0] < 0)

    def lease(self, store: Store, now: int, *, heard: bool = True) -> None:
        for _, groups in self.table.pack(now):
            self.calls += 1
            replies = store.lease(self.number, self.calls, groups, now)
            if heard:
                self.table.merge(groups, replies, now)
            else:
                self.table.unsent(groups)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_cluster_is_never_over_and_admits_what_is_asked_for(case: str, kind: str) -> None:
    """Under saturation at least 97 % of the limit."""
    demand, _, _ = CASES[case]
    rule = Rule(1000, 2000, *KINDS[kind])
    report = Cluster(rule, lambda node, since: 500 * demand(node, since), leased=True).run(12_000)
    print(f"{case}, {kind}: {report}")
    assert report.over <= 0
    assert report.lost <= 0.03


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 5, 60])
def test_small_limits_are_never_over_either(limit: int, kind: str) -> None:
    rule = Rule(limit, 2000, *KINDS[kind])
    for parts in ((1, 1, 1), (90, 8, 2)):
        report = Cluster(rule, shares(10 * limit, *parts), leased=True).run(20_000)
        print(f"{limit}, {kind}, {parts}: {report}")
        assert report.over <= 0
        assert report.admitted > 0


def test_the_first_hit_asks_and_the_next_is_granted() -> None:
    rule, store, node = Rule(10, 60_000), Store(), Leased(1)
    assert not node.ask(rule, START)
    assert node.table.urgent() == [digest(1)[0] >> 57]
    node.lease(store, START)
    assert node.ask(rule, START + 2)


def test_what_is_idle_goes_back() -> None:
    """A node that asks no more keeps nothing from the other."""
    rule, store, a, b = Rule(100, 60_000, FIXED), Store(), Leased(1), Leased(2)
    start = START // 60_000 * 60_000
    for node in (a, b):
        node.table.sync_state(FOUND, 2)
        node.ask(rule, start)
        node.lease(store, start)
    assert a.ask(rule, start + 10)
    passed = 0
    for now in range(start + 20, start + 20_000, 10):
        passed += b.ask(rule, now)
        if now % 100 == 0:
            a.lease(store, now)
            b.lease(store, now)
    assert passed == 99


def test_a_lost_answer_grants_nothing_twice() -> None:
    rule, store, a, b = Rule(100, 600_000, FIXED), Store(), Leased(1), Leased(2)
    start, passed = START // 600_000 * 600_000, 0
    for turn in range(3_000):
        now = start + 10 * turn
        passed += a.ask(rule, now) + b.ask(rule, now)
        for node in (a, b):
            node.lease(store, now, heard=turn % 3 != 1)
    assert 97 <= passed <= 100


def test_without_the_store_grants_are_spent_and_then_the_limit_says_what() -> None:
    for on_loss, admitted in ((DENY, 0), (ALLOW, 20)):
        rule, store, node = Rule(10, 600_000, FIXED), Store(), Leased(1)
        start = START // 600_000 * 600_000
        node.table.sync_state(FOUND, 1)
        node.ask(rule, start)
        node.lease(store, start)
        node.table.sync_state(LOST, 1)
        granted = sum(node.ask(rule, start, on_loss=DENY) for _ in range(20))
        assert 1 <= granted <= 10
        assert sum(node.ask(rule, start, on_loss=on_loss) for _ in range(20)) == admitted


def test_a_table_without_a_store_leases_nothing() -> None:
    table, hit = probe.Table(100), (digest(1), Rule(10, 60_000), 1, False, 0, LEASED, 0)
    assert sum(table.decide([hit], START)[0] < 0 for _ in range(20)) == 10
