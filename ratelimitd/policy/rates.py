"""From what a limit says to the plan's rate."""

from __future__ import annotations

from ratelimitd.policy.plan import Rate
from ratelimitd.policy.units import MAX_WINDOW_MS, format_duration

UNLIMITED_WINDOW_MS = 60_000  # what an unlimited limit is counted over when it names no window


def window_rate(limit: int | None, window_ms: int | None, *, unlimited: bool) -> Rate:
    return Rate(limit or 0, UNLIMITED_WINDOW_MS if window_ms is None else window_ms, unlimited)


def bucket_rate(rate: tuple[int, int], burst: int | None, *, unlimited: bool = False) -> Rate:
    """A bucket of `burst` that fills at `rate` (hits, milliseconds): the plan says how long an empty one takes to fill.

    Raises ValueError when that time is not between 1 ms and the longest window.
    """
    hits, period_ms = rate
    if hits == 0:
        raise ValueError("a rate of 0 never fills the bucket; `limit: 0` with a window bans")
    holds = hits if burst is None else burst
    window_ms = (holds * period_ms * 2 + hits) // (hits * 2)
    if window_ms < 1:
        raise ValueError(f"a burst of {holds} fills in less than 1 ms")
    if window_ms > MAX_WINDOW_MS:
        raise ValueError(f"a burst of {holds} takes longer than {format_duration(MAX_WINDOW_MS)} to fill")
    return Rate(holds, window_ms, unlimited)


def rounding(rate: tuple[int, int], burst: int | None) -> float:
    """By which share the plan's rate differs from the one that was asked for: whole milliseconds."""
    hits, period_ms = rate
    holds = hits if burst is None else burst
    exact = holds * period_ms / hits
    return abs(bucket_rate(rate, burst).window_ms - exact) / exact
