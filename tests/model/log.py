"""The exact sliding window: a log of the hits that were admitted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def replay(limit: int, window_ms: int, arrivals: Iterable[int]) -> bytes:
    """Hits of cost 1 at ascending ms; 1 for each admitted: fewer than `limit` were in (now - window_ms, now]."""
    admitted: deque[int] = deque()
    decisions = bytearray()
    for now in arrivals:
        while admitted and admitted[0] <= now - window_ms:
            admitted.popleft()
        fits = len(admitted) < limit
        if fits:
            admitted.append(now)
        decisions.append(fits)
    return bytes(decisions)
