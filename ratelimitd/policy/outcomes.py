"""What became of each rule of a scan for one request: what fired it, or why it did not fire. Pure.

An `Outcome` says the same of every kind of rule; `outcomes` makes them of what the engine traced (Engine.trace).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ratelimitd.policy.plan import Profile, Scan
from ratelimitd.waf.explain import chains, name_of, operator_words, selector_words, text_words
from ratelimitd.waf.program import Change, Disruption, Link, Program

Traced = Mapping[str, Any]  # a rule, as in Engine.trace
MACRO = re.compile(r"%\{([^{}]+)\}")
MAX_MESSAGE = 2000  # bytes
NO_PROFILE = Profile(b"", Program())  # where nothing scans


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule found something: the field and its value as it was searched, after transformations."""

    target: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """`because`: why it did not fire, in words. `score`: what it added, or would add; `deny`: whether it denies."""

    rule: str
    fired: bool = False
    because: str = ""
    score: int = 0
    deny: bool = False
    message: str = ""
    after: tuple[str, ...] = ()  # transformations
    values: int = 0  # that were looked at in vain
    hits: tuple[Hit, ...] = ()  # in the order in which they were found; short rules stop at the first
    macros: Mapping[str, bytes] = field(default_factory=dict)  # what the message's stand for, by name: "tx.score"


def unreached(profile: Profile, scan: Scan, because: str) -> list[Outcome]:
    """The outcomes when there was no scan."""
    told = [outcome(profile, links, because=because) for _, links in told_rules(profile)]
    return told + left_out(scan)


def told_rules(profile: Profile) -> list[tuple[int, tuple[Link, ...]]]:
    """The rules whose matches are told: index of the first link, links."""
    return [(first, links) for first, links in chains(profile.program) if links[0].log and named(links[0])]


def named(link: Link) -> bool:
    return bool(link.name or link.rule)


def denies(links: Sequence[Link]) -> bool:
    return links[0].disruption == Disruption.DENY


def left_out(scan: Scan) -> list[Outcome]:
    return [Outcome(_text(name), because="left out by scan.disable") for name in scan.disabled]


def outcomes(
    profile: Profile, scan: Scan, traced: Sequence[Traced], variables: Mapping[str, bytes] | None = None
) -> list[Outcome]:
    """One for each rule whose matches are told, in their order, and for others that denied.

    `variables`: what rules have set, for their messages.
    """
    rows = {row["link"]: row for row in traced}
    told = {first for first, _ in told_rules(profile)}
    found = [
        became(profile, links, rows[first], variables or {})
        for first, links in chains(profile.program)
        if first in rows and (first in told or (denies(links) and rows[first]["fate"] == "fired"))
    ]
    return found + left_out(scan)


def became(profile: Profile, links: Sequence[Link], row: Traced, variables: Mapping[str, bytes]) -> Outcome:
    if row["fate"] == "fired":
        hits = tuple(Hit(hit["target"], hit["value"]) for hit in row["hits"])
        found = outcome(profile, links, fired=True, score=row["score"], hits=hits)
        return replace(found, macros=macros(found.message, hits, variables))
    return outcome(profile, links, because=why_not(links, row), values=row["values"])


def macros(message: str, hits: Sequence[Hit], variables: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the macros of a message stand for, as far as that can be known when all is over."""
    last = {"matched_var": hits[-1].value, "matched_var_name": hits[-1].target.encode()} if hits else {}
    known = {**variables, **last}
    return {name: known[name] for name in map(str.lower, MACRO.findall(message)) if name in known}


def why_not(links: Sequence[Link], row: Traced) -> str:
    fate, values = row["fate"], row["values"]
    if fate == "unreached":
        return "not reached: the scan had decided"
    if fate == "skipped":
        return "skipped by a rule before it"
    if fate == "removed":
        return "taken away by a rule before it, or an exclusion"
    link = links[row["broken"] if fate == "broken" else 0]
    targets = ", ".join(selector_words(s) for s in link.selectors if not s.exclude)
    begun = f"link {row['broken'] + 1} of its chain: " if fate == "broken" else ""
    if not values:
        return f"{begun}nothing to look at: {targets}"
    if fate == "broken":
        return f"{begun}not {operator_words(link)[:80]}" if not link.negated else f"{begun}{operator_words(link)[4:84]}"
    return f"found nothing in {targets} ({values} {'value' if values == 1 else 'values'})"


def outcome(
    profile: Profile,
    links: Sequence[Link],
    *,
    fired: bool = False,
    because: str = "",
    score: int | None = None,
    values: int = 0,
    hits: tuple[Hit, ...] = (),
) -> Outcome:
    return Outcome(
        name_of(links[0]),
        fired,
        because,
        score_of(profile.program, links) if score is None else score,
        denies(links),
        text_words(links[0].message, MAX_MESSAGE),
        tuple(t.name.lower() for t in links[0].transformations),
        values,
        hits,
    )


def score_of(program: Program, links: Sequence[Link]) -> int:
    """What a match adds to the scores, where that is written as a number."""
    return sum(
        int(value)
        for link in links
        for change in link.sets
        if change.change == Change.ADD and b"".join(p for p in change.name if isinstance(p, bytes)) in program.scores
        for value in change.value
        if isinstance(value, bytes) and value.isdigit()
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
