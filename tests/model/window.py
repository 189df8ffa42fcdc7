"""The three algorithms as they are defined, with exact rational arithmetic.

Times are milliseconds since the epoch. A hit of cost c fits when `used + c <= limit`, `used` rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple, Protocol

SLIDING, FIXED, BUCKET = 0, 1, 2
MOST = 2**32 - 1  # counts saturate here


class Rule(NamedTuple):
    limit: int
    window_ms: int
    algorithm: int = SLIDING
    buckets: int = 1


class View(NamedTuple):
    used: int
    remaining: int
    reset_after_ms: int
    over: bool


class Counter(Protocol):
    """What a hit may ask of a counter."""

    def used(self, now: int, rule: Rule) -> int: ...
    def settle(self, now: int, rule: Rule) -> None: ...
    def add(self, cost: int, rule: Rule) -> None: ...
    def empty_at(self, now: int, rule: Rule) -> int: ...


@dataclass
class Buckets:
    """Hits by the number of their bucket. A sliding window weights the oldest by overlap; a fixed one is a bucket."""

    weighted: bool
    current: int  # the bucket that hits go into
    hits: dict[int, int] = field(default_factory=dict)

    def width(self, rule: Rule) -> Fraction:
        return Fraction(rule.window_ms, rule.buckets if self.weighted else 1)

    def settled(self, now: int, rule: Rule) -> tuple[int, Fraction, dict[int, int]]:
        """The current bucket, the time that counts as now, and the hits, after the clock rules."""
        width = self.width(rule)
        index = floor(now / width)
        if index >= self.current:
            return index, Fraction(now), self.hits
        if self.current - index <= floor(rule.window_ms / width):
            return self.current, self.current * width, self.hits  # wait for the clock
        return index, Fraction(now), {index: min(MOST, sum(self.live(self.current, rule).values()))}

    def live(self, index: int, rule: Rule) -> dict[int, int]:
        span = rule.buckets if self.weighted else 0
        return {b: n for b, n in self.hits.items() if index - span <= b <= index}

    def estimate(self, index: int, now: Fraction, hits: dict[int, int], rule: Rule) -> int:
        """ceil of the hits in (now - window, now], each bucket's spread evenly."""
        if not self.weighted:
            return hits.get(index, 0)
        width = self.width(rule)
        start = now - rule.window_ms
        total = Fraction(0)
        for bucket, count in hits.items():
            overlap = min(width, (bucket + 1) * width - start) / width
            if bucket <= index and overlap > 0:
                total += count * overlap
        return ceil(total)

    def used(self, now: int, rule: Rule) -> int:
        return self.estimate(*self.settled(now, rule), rule)

    def settle(self, now: int, rule: Rule) -> None:
        index, _, hits = self.settled(now, rule)
        self.current, self.hits = index, hits
        self.hits = self.live(index, rule)

    def add(self, cost: int, rule: Rule) -> None:
        self.hits[self.current] = min(MOST, self.hits.get(self.current, 0) + cost)

    def empty_at(self, now: int, rule: Rule) -> int:
        index, _, hits = self.settled(now, rule)
        span = rule.buckets if self.weighted else 0
        newest = max((b for b, n in hits.items() if n and index - span <= b <= index), default=None)
        if newest is None:
            return now
        return ceil((newest + span + 1) * self.width(rule))


@dataclass
class Bucket:
    """A token bucket by what is missing from it: `missing` hits at `since`, refilled at limit / window_ms.

    Under another rate than it was charged under, the same hits are missing, rounded up to 1/window_ms, but no more than
    the burst.
    """

    since: int
    missing: Fraction = Fraction(0)
    charged: tuple[int, int] = (0, 0)  # limit and window_ms of the last charge

    @staticmethod
    def rate(rule: Rule) -> Fraction:
        return Fraction(rule.limit or 1, rule.window_ms)

    def adopted(self, rule: Rule) -> Fraction:
        if self.charged == (rule.limit, rule.window_ms):
            return self.missing
        missing = Fraction(ceil(self.missing * rule.window_ms), rule.window_ms)
        return min(missing, Fraction(rule.limit)) if rule.limit else missing

    def settled(self, now: int, rule: Rule) -> tuple[int, Fraction]:
        missing = self.adopted(rule)
        if now < self.since:
            return (self.since if self.since - now <= rule.window_ms else now), missing
        return now, max(Fraction(0), missing - (now - self.since) * self.rate(rule))

    def used(self, now: int, rule: Rule) -> int:
        return ceil(self.settled(now, rule)[1])

    def settle(self, now: int, rule: Rule) -> None:
        self.since, self.missing = self.settled(now, rule)
        self.charged = (rule.limit, rule.window_ms)

    def add(self, cost: int, rule: Rule) -> None:
        self.missing = min(Fraction(MOST), self.missing + cost)

    def empty_at(self, now: int, rule: Rule) -> int:
        since, missing = self.settled(now, rule)
        return since + ceil(missing / self.rate(rule)) if missing else now


def fresh(rule: Rule, now: int, used: int = 0) -> Counter:
    """A counter that already has `used` hits; a token bucket no more than its burst."""
    counter: Counter
    if rule.algorithm == BUCKET:
        counter = Bucket(since=now, charged=(rule.limit, rule.window_ms))
        used = min(used, rule.limit or MOST)
    else:
        counter = Buckets(weighted=rule.algorithm == SLIDING, current=0)
        counter.settle(now, rule)
    counter.add(min(used, MOST), rule)
    return counter


def first_time(passes: Callable[[int], bool], low: int, high: int) -> int:
    """The first time in (low, high] at which `passes`, which never turns false again."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def peek(rule: Rule, counter: Counter, now: int, cost: int = 0) -> View:
    counter = deepcopy(counter)
    counter.settle(now, rule)
    used = counter.used(now, rule)
    over = used + cost > rule.limit
    if not over:
        reset = counter.empty_at(now, rule) - now
    elif cost > rule.limit:
        reset = rule.window_ms
    else:
        free = counter.empty_at(now, rule)
        reset = first_time(lambda t: counter.used(t, rule) + cost <= rule.limit, now, free) - now
    return View(used, max(0, rule.limit - used), min(max(reset, 0), MOST), over)


def charge(rule: Rule, counter: Counter, now: int, cost: int) -> None:
    counter.settle(now, rule)
    counter.add(cost, rule)
