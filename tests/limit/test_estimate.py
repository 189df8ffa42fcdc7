"""Three nodes, one limit, a store asked every 100 ms: what is admitted too much, and what is denied in vain.

The figures of every case are printed: pytest -rP tests/limit/test_estimate.py
"""

from __future__ import annotations

import pytest

from tests.model import cluster
from tests.model.cluster import ANSWER_MS, SPACING_MS, START, Cluster, Demand, shares
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

from .test_sync import Node, Store, digest

KINDS = {"sliding": (SLIDING, 1), "buckets": (SLIDING, 8), "fixed": (FIXED, 1), "token bucket": (BUCKET, 1)}
SKEWED = (90, 8, 2)


def bursts(demand: Demand) -> Demand:
    """On for 2.3 s, off for 2.7 s."""
    return lambda node, since: demand(node, since) if 1700 <= since % 5000 < 4000 else 0


def shifting(rate: float, *parts: float) -> Demand:
    """Every 3.3 s the nodes change places."""
    one, other = shares(rate, *parts), shares(rate, *reversed(parts))
    return lambda node, since: (other if since // 3300 % 2 else one)(node, since)


# What is asked for, in limits a second. (most beyond the limit, most denied in vain)
CASES: dict[str, tuple[Demand, float, float]] = {
    "even": (shares(2, 1, 1, 1), 0.01, 0.01),
    "even, far too much": (shares(10, 1, 1, 1), 0.01, 0.01),
    "skewed": (shares(2, *SKEWED), 0.01, 0.01),
    "skewed, far too much": (shares(10, *SKEWED), 0.01, 0.01),
    "four times too much": (shares(4, 80, 15, 5), 0.01, 0.01),
    "four times too much, less skewed": (shares(4, 60, 30, 10), 0.01, 0.01),
    "below the limit": (shares(0.9, 3, 2, 1), 0.0, 0.002),
    "just above": (shares(1.1, 3, 2, 1), 0.01, 0.02),
    "bursts": (bursts(shares(3, 5, 3, 1)), 0.01, 0.02),
    "bursts, far too much": (bursts(shares(20, 5, 3, 1)), 0.01, 0.01),
    "shifting": (shifting(3, *SKEWED), 0.01, 0.02),
    "new, thirty times too much": (shares(30, *SKEWED), 0.01, 0.01),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_a_big_limit_is_overshot_by_a_hundredth_at_most(case: str, kind: str) -> None:
    demand, over, lost = CASES[case]
    report = Cluster(Rule(1000, 1000, *KINDS[kind]), lambda node, since: 1000 * demand(node, since)).run(7000)
    print(f"{case}, {kind}: {report}")
    assert report.over <= over
    assert report.lost <= lost


@pytest.mark.parametrize("case", ["even, far too much", "skewed", "bursts"])
def test_a_longer_window_is_overshot_by_less(case: str) -> None:
    demand, _, _ = CASES[case]
    report = Cluster(Rule(1000, 10_000), lambda node, since: 100 * demand(node, since)).run(25_000)
    print(f"{case}: {report}")
    assert report.over <= 0.005
    assert report.lost <= 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_flushes_that_take_long_change_little(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares add up to the whole, however old what a node knows is."""
    monkeypatch.setattr(cluster, "ANSWER_MS", 10)
    monkeypatch.setattr(cluster, "SPACING_MS", 40)
    for case in ("even, far too much", "skewed", "four times too much"):
        demand, _, _ = CASES[case]
        report = Cluster(Rule(1000, 1000, *KINDS[kind]), lambda node, since, d=demand: 1000 * d(node, since)).run(7000)
        print(f"{case}: {report}")
        assert report.over <= 0.01
        assert report.lost <= 0.03


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [1.5, 3])
def test_traffic_that_jumps_from_node_to_node_overshoots_by_what_nobody_could_know(kind: str, rate: float) -> None:
    """The new node asks for the old one's hits at its eighth hit, or when 10 ms have passed since it last did: it knows
    them 2 ms later. So long it goes by what it knew."""
    demand = shifting(rate, 1, 0, 0)
    report = Cluster(Rule(1000, 1000, *KINDS[kind]), lambda node, since: 1000 * demand(node, since)).run(10_000)
    print(report)
    assert report.over <= 8 / 1000 + rate * (SPACING_MS + ANSWER_MS) / 1000
    assert report.lost <= 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_limit_is_never_denied_by_assumption(kind: str) -> None:
    rule = Rule(5, 30_000, *KINDS[kind])
    for case, (demand, _, _) in CASES.items():
        report = Cluster(rule, lambda node, since, d=demand: d(node, since) / 3).run(20_000)
        print(f"{case}: {report}")
        assert report.lost == 0


def test_without_news_of_others_the_naive_bound_holds() -> None:
    """Nodes that flush every 100 ms and no sooner: the limit, and what two others admit in an interval."""
    demand = shares(5000, 1, 1, 1)
    report = Cluster(Rule(1000, 1000), demand, urgent=False).run(5000)
    print(report)
    assert report.over <= 5000 / 1000 / 3 * 2 * 0.1


def test_a_key_near_its_limit_is_watched_for_a_while() -> None:
    """The others' hits are heard of though ours do not change."""
    rule, store, a, b = Rule(1000, 10_000), Store(), Node(1), Node(2)
    for node in (a, b):
        node.table.sync_state(bytes(128), 2)
        node.hit(1, rule, START, 1)
        node.flush(store, START)
    for now in range(START, START + 1000, 100):
        a.hit(1, rule, now, 60)
        a.flush(store, now)
    assert b.hit(1, rule, START + 1000, 1)
    b.flush(store, START + 1000)
    assert b.hit(1, rule, START + 1010, 90)
    for now in range(START + 1100, START + 2000, 100):
        b.flush(store, now)
        a.flush(store, now)
    assert a.used(1, rule, START + 2000) == b.used(1, rule, START + 2000) == 693


def test_what_cannot_wait_rings_once() -> None:
    rule, node = Rule(1000, 10_000), Node(1)
    node.table.sync_state(bytes(128), 3)
    node.hit(1, rule, START, 5)
    assert node.table.urgent() == []
    node.hit(1, rule, START, 20)
    node.hit(1, rule, START, 1)
    assert node.table.urgent() == [digest(1)[0] >> 57]
    node.hit(1, rule, START, 1)
    assert node.table.urgent() == []
