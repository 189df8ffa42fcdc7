"""The Core Rule Set's own attacks as a measure of ours: what is blocked, by family and by paranoia level.

A foreign measure: stages of higher levels are often a fragment (`ABS(`), or a sentence that the level is known to
mistake for an attack. Of those we want none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..crs.stages import Stage, load
from .engine import judge

FAMILIES = range(930, 945)  # requests that attack applications
RULE = re.compile(r"^SecRule .*?(?=^Sec|\Z)", re.DOTALL | re.MULTILINE)


@cache
def levels(crs: Path) -> dict[int, int]:
    """The paranoia level of each rule."""
    found = {}
    for file in sorted((crs / "rules").glob("*.conf")):
        for rule in RULE.findall(file.read_text()):
            number, level = re.search(r"\bid:(\d+)", rule), re.search(r"paranoia-level/(\d)", rule)
            if number and level:
                found[int(number[1])] = int(level[1])
    return found


def attacks(crs: Path) -> Iterator[Stage]:
    """The positive stages of the families."""
    for stage in load(crs / "tests"):
        if stage.rule // 1000 in FAMILIES and stage.expected and stage.kind in ("request", "log"):
            yield stage


def outcomes(crs: Path) -> list[tuple[Stage, bool]]:
    """Each attack, and whether it is blocked."""
    return [(stage, judge(stage.request).denied) for stage in attacks(crs)]
