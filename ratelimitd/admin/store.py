"""The shared store in metrics and in readiness: who answers, how old what is known of other nodes is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ratelimitd.admin.context import Store

MAX_LIMITS = 1000

Rates = Callable[[], Iterable[tuple[str, str, float]]]  # domain, limit, hits per second


def detail(store: Store) -> dict[str, Any]:
    return {
        "ok": store.ok,
        "mode": store.mode,
        "address": store.address,
        "problem": store.problem,
        "nodes": list(store.nodes),
        "lost_shards": store.lost_shards,
        "staleness_seconds": round(store.staleness_seconds, 3),
        "masters": [
            {"name": m.name, "shards": m.shards, "ok": m.ok, "trouble": m.trouble, "silent": round(m.silent_seconds, 3)}
            for m in store.masters
        ],
    }


class StoreCollector(Collector):
    """Nothing when this node counts alone."""

    def __init__(self, store: Callable[[], Store | None], rates: Rates) -> None:
        self._store, self._rates = store, rates

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not scrape

    def collect(self) -> Iterator[Metric]:
        store = self._store()
        if store is None:
            return
        yield _gauge("up", "1 while every shard of the store can be used.", float(store.ok))
        yield _gauge("nodes", "Nodes that share counts, this one among them.", len(store.nodes))
        yield _gauge("lost_shards", "Shards of 128 whose limits go by on_store_loss.", store.lost_shards)
        text = "Since the master that has been silent longest last answered: the age of what is known of other nodes."
        yield _gauge("staleness_seconds", text, store.staleness_seconds)
        yield _gauge("interval_seconds", "Between two flushes.", store.interval_seconds)
        yield _gauge("clock_offset_seconds", "The store's clock minus ours.", store.clock_offset_ms / 1000)
        yield self._bounds(store)
        yield self._masters(store)
        yield _errors(store)
        yield _flushes(store)
        yield _events(store)
        text = "Shards that were sent again as a whole, because the store lost data or its master changed."
        yield CounterMetricFamily("ratelimitd_store_resyncs", text, value=store.resyncs)

    def _bounds(self, store: Store) -> Metric:
        family = GaugeMetricFamily(
            "ratelimitd_store_overshoot_bound_hits",
            "What all nodes together may admit beyond a limit before they know: nodes x rate x interval.",
            labels=["domain", "limit"],
        )
        for number, (domain, limit, rate) in enumerate(self._rates()):
            if number < MAX_LIMITS:
                family.add_metric([domain, limit], len(store.nodes) * rate * store.interval_seconds)
        return family

    def _masters(self, store: Store) -> Metric:
        text = "1 while this master of the store answers."
        family = GaugeMetricFamily("ratelimitd_store_master_up", text, labels=["master"])
        for master in store.masters:
            family.add_metric([master.name], float(master.ok))
        return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ratelimitd_store_{name}", text, value=value)


def _errors(store: Store) -> Metric:
    family = CounterMetricFamily("ratelimitd_store_errors", "Failures of the store, by kind.", labels=["kind"])
    for kind, count in sorted(store.errors.items()):
        family.add_metric([kind], count)
    return family


def _events(store: Store) -> Metric:
    text = "Bans, their ends and resets: told to the other nodes, and heard of them."
    family = CounterMetricFamily("ratelimitd_store_events", text, labels=["direction"])
    for direction, count in (("told", store.told), ("heard", store.heard)):
        family.add_metric([direction], count)
    return family


def _flushes(store: Store) -> Metric:
    text = "What flushes to a master took, until its answer was merged."
    family = HistogramMetricFamily("ratelimitd_store_flush_seconds", text)
    bounds = [*map(repr, store.flushes.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(store.flushes.counts), strict=True))
    family.add_metric([], buckets, sum_value=store.flushes.sum)
    return family
