"""What the built-in rules block, of attacks and of what is none: `python -m tests.waf.builtin [RULE ...]`.

With numbers (942100, or 942): the stages of these rules that are let through.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable

from ..benign.corpus import corpus
from ..shared import crs_v4
from .engine import judge
from .suite import levels, outcomes


def rate(blocked: int, count: int) -> str:
    return f"{blocked:5} of {count:5}  {100 * blocked / count:5.1f} %"


def benign() -> None:
    verdicts = [(request.name, judge(request.request)) for request in corpus()]
    for name, verdict in verdicts:
        if verdict.score:
            print(f"benign {name}: score {verdict.score}, {sorted(verdict.rules)}")
    print("benign, blocked       ", rate(sum(verdict.denied for _, verdict in verdicts), len(verdicts)))
    print("benign, with a score  ", rate(sum(verdict.score > 0 for _, verdict in verdicts), len(verdicts)))


def attacks(shown: list[str]) -> None:
    crs = crs_v4()
    count: Counter[Hashable] = Counter()
    hits: Counter[Hashable] = Counter()
    for stage, blocked in outcomes(crs):
        for group in ("all", f"family {stage.rule // 1000}", f"paranoia level {levels(crs).get(stage.rule)}"):
            count[group] += 1
            hits[group] += blocked
        if not blocked and any(str(stage.rule).startswith(number) for number in shown):
            print(f"{stage.name} {stage.request.method} {stage.request.uri!r} {stage.request.body!r}")
    for group in sorted(count, key=str):
        print(f"attacks, {group:17}", rate(hits[group], count[group]))


if __name__ == "__main__":
    benign()
    attacks(sys.argv[1:])
