"""When to ask a master again that failed: at once, then at growing intervals with jitter. Time is a parameter."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 0.1
MOST_SECONDS = 2.0  # a store that comes back is not left alone for long
FAILURES = 3  # in a row, before it is left alone


@dataclass(slots=True)
class Breaker:
    """Closed: ask. Open: not before `until`. Then one call (half open): success closes it, failure opens it longer."""

    failures: int = 0
    until: float = 0.0
    random: random.Random = field(default_factory=random.Random)

    @property
    def open(self) -> bool:
        return self.failures >= FAILURES

    def may_ask(self, now: float) -> bool:
        return now >= self.until

    def succeeded(self) -> None:
        self.failures, self.until = 0, 0.0

    def failed(self, now: float) -> None:
        """Full jitter from half the interval on, so that nodes do not come back in step."""
        self.failures += 1
        if self.open:
            most = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(self.failures - FAILURES, 10))
            self.until = now + self.random.uniform(most / 2, most)
