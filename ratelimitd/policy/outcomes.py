"""What became of each rule of a scan for one request: what fired it, or why it did not fire. Pure.

An `Outcome` says the same of every kind of rule; `pattern_outcomes` makes those of the YAML pattern rules from what
the engine read of the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratelimitd.policy.names import format_target
from ratelimitd.policy.plan import Rule, Scan, Target, TargetRef

NAMELESS = (Target.METHOD, Target.PATH, Target.QUERY, Target.BODY, Target.HOST)  # at most one value, absent when empty

Reading = Mapping[str, Any]  # as Engine.trace


@dataclass(frozen=True, slots=True)
class Look:
    """A target and how many values a rule found there: to search, empty ones, and those that it leaves out."""

    target: str
    values: int = 0
    empty: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        counts = ((self.values, "value" if self.values == 1 else "values"), (self.empty, "empty"))
        told = [f"{count} {word}" for count, word in (*counts, (self.left_out, "left out")) if count]
        return f"{self.target} ({', '.join(told) or 'absent'})"


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule found something: the field and its value as it was searched, after transformations."""

    target: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """`because`: why it did not fire, in words. `score`: what it adds when it fires; `deny`: then it blocks alone."""

    rule: str
    fired: bool = False
    because: str = ""
    score: int = 0
    deny: bool = False
    message: str = ""
    after: tuple[str, ...] = ()  # transformations
    looks: tuple[Look, ...] = ()
    hits: tuple[Hit, ...] = ()  # in the order of a scan, which names the first


def unreached(scan: Scan, because: str) -> list[Outcome]:
    """The outcomes when there was no scan."""
    return [outcome(rule, because=because) for rule in scan.rules] + left_out(scan)


def left_out(scan: Scan) -> list[Outcome]:
    return [Outcome(_text(name), because="left out by scan.disable") for name in scan.disabled]


def pattern_outcomes(scan: Scan, readings: Sequence[Reading]) -> list[Outcome]:
    """One for each rule, in their order. `readings`: Engine.trace of the request."""
    found = [pattern_outcome(index, rule, readings) for index, rule in enumerate(scan.rules)]
    return found + left_out(scan)


def pattern_outcome(index: int, rule: Rule, readings: Sequence[Reading]) -> Outcome:
    looks = tuple(look(index, ref, readings) for ref in rule.targets if not ref.exclude)
    hits = tuple(
        Hit(format_target(TargetRef(Target(reading["target"]), reading["name"])), string["text"])
        for reading in readings
        for string in reading["strings"]
        if index in string["fired"]
    )
    if hits:
        return outcome(rule, fired=True, looks=looks, hits=hits)
    told = ", ".join(map(str, looks))
    if not any(item.values for item in looks):
        return outcome(rule, because=f"nothing to search: {told}", looks=looks)
    steps = " > ".join(t.name.lower() for t in rule.transformations)
    return outcome(rule, because=f"no pattern found in {told}{f' after {steps}' if steps else ''}", looks=looks)


def look(index: int, ref: TargetRef, readings: Sequence[Reading]) -> Look:
    there = [r for r in readings if r["target"] == ref.target and ref.name.lower() in (b"", r["name"].lower())]
    if ref.target in NAMELESS:
        there = [reading for reading in there if reading["value"]]
    mine = [reading for reading in there if index in reading["rules"]]
    values = sum(bool(reading["value"]) or searched(index, reading) for reading in mine)
    return Look(format_target(ref), values, len(mine) - values, len(there) - len(mine))


def searched(index: int, reading: Reading) -> bool:
    """Was there something to search? A transformation may make something of nothing, such as a digest."""
    return any(string["text"] and index in string["rules"] for string in reading["strings"])


def outcome(
    rule: Rule,
    *,
    fired: bool = False,
    because: str = "",
    looks: tuple[Look, ...] = (),
    hits: tuple[Hit, ...] = (),
) -> Outcome:
    after = tuple(t.name.lower() for t in rule.transformations)
    return Outcome(_text(rule.id), fired, because, rule.score, rule.deny, _text(rule.message), after, looks, hits)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
