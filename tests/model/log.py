"""The exact sliding window: a log of the hits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def replay(limit: int, window_ms: int, arrivals: Iterable[int], count_denied: bool = False) -> bytes:
    """Hits of cost 1 at ascending ms; 1 for each that fits: fewer than `limit` were counted in (now - window_ms, now].

    A hit that does not fit is not counted, unless `count_denied`.
    """
    counted: deque[int] = deque()
    decisions = bytearray()
    for now in arrivals:
        while counted and counted[0] <= now - window_ms:
            counted.popleft()
        fits = len(counted) < limit
        if fits or count_denied:
            counted.append(now)
        decisions.append(fits)
    return bytes(decisions)
