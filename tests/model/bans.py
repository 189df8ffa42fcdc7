"""Penalties as they are defined, for one penalty whose denials are all counted. Times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from .window import Buckets, Rule


@dataclass
class Known:
    """What is remembered of a key."""

    until: int = 0
    changed: int = 0
    quiet: int = 0
    level: int = 0


@dataclass
class Penalty:
    denials: int
    window: int
    steps: tuple[int, ...]
    forgive: int
    known: dict[str, Known] = field(default_factory=dict)
    counters: dict[tuple[str, int], Buckets] = field(default_factory=dict)

    def level(self, known: Known, now: int) -> int:
        return max(0, known.level - max(0, now - known.quiet) // self.forgive)

    def remembered(self, key: str, now: int) -> Known | None:
        known = self.known.get(key)
        if known is None:
            return None
        counts = known.until > now or self.level(known, now) > 0 or now - known.quiet < self.forgive
        return known if counts else None

    def banned(self, key: str, now: int) -> bool:
        known = self.remembered(key, now)
        return known is not None and known.until > now

    def deny(self, key: str, now: int) -> None:
        """A denial that counts."""
        if self.banned(key, now):
            return
        known = self.remembered(key, now)
        bout = known.changed if known else 0
        rule = Rule(self.denials, self.window)
        counter = self.counters.setdefault((key, bout), Buckets(True, now // self.window))
        counter.settle(now, rule)
        counter.add(1, rule)
        if counter.used(now, rule) >= self.denials:
            level = self.level(known, now) if known else 0
            until = now + self.steps[min(level, len(self.steps) - 1)]
            self.known[key] = Known(until, now, until, level + 1)
        elif known:
            known.level, known.quiet = self.level(known, now), max(known.quiet, now)

    def ban(self, key: str, now: int, length: int) -> None:
        self.account(key, now, now + length)

    def lift(self, key: str, now: int) -> None:
        if self.remembered(key, now):
            self.account(key, now, 0)

    def account(self, key: str, now: int, until: int) -> None:
        known = self.remembered(key, now)
        level = self.level(known, now) if known and until else 0
        changed = max(now, known.changed + 1) if known else now
        self.known[key] = Known(until, changed, max(until, changed), level)
