"""What a table without a cap decides: a dict of counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tests.model import window
from tests.model.window import MOST, Counter, Rule, View


class Hit(NamedTuple):
    digest: tuple[int, int]
    rule: Rule
    cost: int = 1
    shadow: bool = False


@dataclass
class Table:
    counters: dict[tuple[int, int], Counter] = field(default_factory=dict)

    def counter(self, hit: Hit, now: int) -> Counter:
        return self.counters.get(hit.digest) or window.fresh(hit.rule, now)

    def decide(self, hits: list[Hit], now: int, all_or_none: bool = True, dry: bool = False) -> tuple[int, list[View]]:
        """Peek every hit as if those before it that fit were charged; then charge those that fit, or none."""
        views: list[View] = []
        for at, hit in enumerate(hits):
            before = sum(h.cost for h, v in zip(hits[:at], views, strict=True) if h.digest == hit.digest and not v.over)
            view = window.peek(hit.rule, self.counter(hit, now), now, min(MOST, before + hit.cost))
            views.append(view._replace(remaining=0) if view.over else view)
        first = next((i for i, hit in enumerate(hits) if views[i].over and not hit.shadow), -1)
        charged = not dry and not (all_or_none and first >= 0)
        for at, hit in enumerate(hits):
            fits = charged and not views[at].over
            if fits and (hit.cost or hit.digest in self.counters):
                counter = self.counters.setdefault(hit.digest, window.fresh(hit.rule, now))
                window.charge(hit.rule, counter, now, hit.cost)
            if fits:
                views[at] = window.peek(hit.rule, self.counter(hit, now), now)._replace(over=False)
            elif not dry and hit.digest in self.counters:
                window.charge(hit.rule, self.counters[hit.digest], now, 0)
        return first, views

    def charge(self, hits: list[Hit], now: int) -> list[View]:
        """Every hit, whether it fits or not."""
        views: list[View] = []
        for hit in hits:
            if hit.cost or hit.digest in self.counters:
                counter = self.counters.setdefault(hit.digest, window.fresh(hit.rule, now))
                window.charge(hit.rule, counter, now, hit.cost)
            views.append(window.peek(hit.rule, self.counter(hit, now), now)._replace(over=False))
        return views
