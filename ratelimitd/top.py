"""The heaviest keys of a stream, in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi 2005).

A key that is not among the `capacity` tracked ones takes the place, and the count, of the lightest. So a count is
never too low, and too high by at most its `error`; a key with more than total / capacity hits is always among the
tracked.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    domain: str
    decider: str  # what `limit` names: a limit, a list, a penalty, a rule; or a body that was cut, which has no name
    limit: str
    key: str


@dataclass(slots=True)
class Count:
    hits: int
    error: int


class Sketch:
    """Space-Saving over `capacity` keys. A heap finds the lightest; its stale entries are refreshed when they
    surface.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[Key, Count] = {}
        self._heap: list[tuple[int, Key]] = []

    def add(self, key: Key, weight: int) -> None:
        count = self._counts.get(key)
        if count is not None:
            count.hits += weight
            return
        floor = self._evict() if len(self._counts) >= self._capacity else 0
        self._counts[key] = Count(floor + weight, floor)
        heapq.heappush(self._heap, (floor + weight, key))

    def _evict(self) -> int:
        """Forgets the lightest key; returns its hits."""
        while True:
            hits, key = self._heap[0]
            current = self._counts[key].hits
            if current == hits:
                heapq.heappop(self._heap)
                del self._counts[key]
                return hits
            heapq.heapreplace(self._heap, (current, key))

    def heaviest(self, n: int) -> list[tuple[Key, Count]]:
        return heapq.nlargest(n, self._counts.items(), key=lambda item: item[1].hits)

    def __len__(self) -> int:
        return len(self._counts)


@dataclass(slots=True)
class _Period:
    since: float
    all: Sketch
    denied: Sketch
    watched: Sketch  # allowed, but something in the shadow would have denied


class Top:
    """The hottest keys of the last one to two periods (seconds), the most denied, and those that would be most denied,
    were everything enforced. Fed by one thread, read by another.
    """

    def __init__(self, capacity: int = 1000, period: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self._capacity = capacity
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        self._now = self._fresh()
        self._before: _Period | None = None

    def _fresh(self) -> _Period:
        return _Period(self._clock(), *(Sketch(self._capacity) for _ in range(3)))

    def _rotate(self) -> None:
        """Called with the lock held. A period without a visit is an empty one."""
        age = self._clock() - self._now.since
        if age < 0 or age >= 2 * self._period:
            self._before, self._now = None, self._fresh()
        elif age >= self._period:
            self._before, self._now = self._now, self._fresh()

    def add(self, key: Key, weight: int, *, denied: bool, watched: bool = False) -> None:
        """watched: it was allowed, but something in the shadow would have denied it."""
        with self._lock:
            self._rotate()
            self._now.all.add(key, weight)
            if denied:
                self._now.denied.add(key, weight)
            elif watched:
                self._now.watched.add(key, weight)

    def report(self, n: int) -> dict[str, object]:
        """{"since": Unix seconds, "seconds", "hottest": [...], "denied": [...], "shadow_denied": [...]}, each row
        {domain, decider, limit, key, hits, error}.
        """
        with self._lock:
            self._rotate()
            periods = [p for p in (self._before, self._now) if p is not None]
            hottest = _merge([p.all for p in periods], n)
            denied = _merge([p.denied for p in periods], n)
            watched = _merge([p.watched for p in periods], n)
            since = periods[0].since
        return {
            "since": round(since, 3),
            "seconds": round(self._clock() - since, 3),
            "hottest": hottest,
            "denied": denied,
            "shadow_denied": watched,
        }


def _merge(sketches: list[Sketch], n: int) -> list[dict[str, object]]:
    sums: dict[Key, Count] = {}
    for sketch in sketches:
        for key, count in sketch.heaviest(len(sketch)):
            sum_ = sums.setdefault(key, Count(0, 0))
            sum_.hits += count.hits
            sum_.error += count.error
    heaviest = heapq.nlargest(n, sums.items(), key=lambda item: item[1].hits)
    return [{**key._asdict(), "hits": count.hits, "error": count.error} for key, count in heaviest]
