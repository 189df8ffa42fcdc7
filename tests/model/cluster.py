"""Nodes and a store on one fake clock, a millisecond at a time: what does the cluster admit, what would one limiter?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ratelimitd._ext.limit import probe
from tests.model.store import Group, Store
from tests.model.table import Hit
from tests.model.window import Rule

START = 1_700_000_000_000
INTERVAL_MS, ANSWER_MS, SPACING_MS = 100, 2, 10
LEASED = 2

Demand = Callable[[int, int], float]  # (node, ms since the start) -> hits per ms


@dataclass
class Node:
    number: int
    table: probe.Table
    due: int  # of the next flush
    flushed: int = 0
    under_way: list[tuple[int, list[Group], list[bytes]]] = field(default_factory=list)  # answers, and when they arrive


@dataclass
class Report:
    admitted: int = 0
    wanted: int = 0
    ideal: int = 0  # what a single limiter admits
    over: float = 0.0  # most hits beyond the limit at any time, as a share of it
    flushes: int = 0

    @property
    def lost(self) -> float:
        """What was denied and would not have been, as a share of what one limiter admits."""
        return max(0.0, 1 - self.admitted / self.ideal) if self.ideal else 0.0

    def __str__(self) -> str:
        return (
            f"over {100 * self.over:.2f} %, wrongly denied {100 * self.lost:.2f} %, "
            f"{self.admitted} of {self.wanted} admitted, {self.flushes} flushes"
        )


@dataclass
class Cluster:
    rule: Rule
    demand: Demand
    nodes: int = 3
    seed: int = 1
    urgent: bool = True
    leased: bool = False
    calls: int = 0

    def run(self, length_ms: int) -> Report:
        store, rng, report = Store(), random.Random(self.seed), Report()
        hit = Hit(probe.hash_key(1, 2, b"key"), self.rule)
        ours = (*hit, 0, LEASED if self.leased else 0, 0)
        truth, one = probe.Table(100), probe.Table(100)
        nodes = [Node(n, probe.Table(100, sync=True), START + n * INTERVAL_MS // self.nodes) for n in range(self.nodes)]
        for node in nodes:
            node.table.sync_state(bytes(128), self.nodes)
        for now in range(START, START + length_ms):
            for node in nodes:
                self.deliver(node, now)
                if now >= node.due:
                    report.flushes += self.flush(node, store, now)
            for node in self.arrivals(nodes, now - START, rng):
                report.wanted += 1
                report.ideal += one.decide([hit], now)[0] < 0
                if node.table.decide([ours], now)[0] < 0:
                    report.admitted += 1
                    truth.charge([hit], now)
            seen = truth.lookup(hit.digest, self.rule, now)
            if seen:
                report.over = max(report.over, (seen[0] - self.rule.limit) / self.rule.limit)
            for node in nodes:
                if self.urgent and node.table.urgent():
                    node.due = min(node.due, max(now + 1, node.flushed + SPACING_MS))
        return report

    def arrivals(self, nodes: list[Node], since: int, rng: random.Random) -> list[Node]:
        out: list[Node] = []
        for node in nodes:
            rate = self.demand(node.number, since)
            while rate > 0:
                rate -= rng.expovariate(1.0)
                if rate > 0:
                    out.append(node)
        rng.shuffle(out)
        return out

    def flush(self, node: Node, store: Store, now: int) -> int:
        if node.under_way:
            return 0
        node.flushed, node.due = now, now + INTERVAL_MS
        packed = node.table.pack(now)
        for _, groups in packed:
            self.calls += 1
            if groups[0][1] < 0:
                replies = store.lease(node.number, self.calls, groups, now)
            else:
                replies = store.flush(node.number, groups, now)
            node.under_way.append((now + ANSWER_MS, groups, replies))
        return len(packed)

    def deliver(self, node: Node, now: int) -> None:
        while node.under_way and node.under_way[0][0] <= now:
            _, groups, replies = node.under_way.pop(0)
            node.table.merge(groups, replies, now)


def shares(total: float, *parts: float) -> Demand:
    """Steady traffic: `total` hits a second, dealt to the nodes by their parts."""
    return lambda node, since: total / 1000 * parts[node] / sum(parts)
