"""What a policy changes of a rule set: rules left out, targets left out, rules that only watch or that deny alone.

For good, before anything is compiled; or for some requests only (`conditional`), by a rule that runs first and takes
rules away as ctl:ruleRemoveById does. A program with conditional exclusions searches for the same patterns as one
without, so the two share their databases.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from ratelimitd.errors import Position
from ratelimitd.waf.lower import Lowered, Removal
from ratelimitd.waf.program import Change, Control, Disruption, Link, Selector, Variable
from ratelimitd.waf.seclang.tree import IdRange


class RuleMode(IntEnum):
    OFF = 0  # as if it were not there
    DETECT = 1  # its matches are told, and count for nothing
    BLOCK = 2  # one match denies, whatever the score


@dataclass(frozen=True, slots=True)
class Which:
    """Rules, by any of these; of nothing at all: every rule."""

    ids: tuple[IdRange, ...] = ()
    names: tuple[bytes, ...] = ()  # ids that are words
    tags: tuple[bytes, ...] = ()

    def __contains__(self, rule: object) -> bool:
        assert isinstance(rule, Lowered)
        first = rule.links[0]
        return (
            not (self.ids or self.names or self.tags)
            or any(span.first <= rule.id <= span.last for span in self.ids)
            or first.name in self.names
            or any(tag in self.tags for tag in first.tags)
        )


@dataclass(frozen=True, slots=True)
class Exclusion:
    """`which` no longer look at these fields; without selectors: no longer run."""

    which: Which
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuning:
    exclusions: tuple[Exclusion, ...] = ()
    conditional: tuple[Exclusion, ...] = ()
    modes: tuple[tuple[Which, RuleMode], ...] = ()  # the last that means a rule holds


def tuned(rule: Lowered, tuning: Tuning) -> Lowered | None:
    """The rule as the policy wants it; None: not at all."""
    modes = [mode for which, mode in tuning.modes if rule in which]
    mode = modes[-1] if modes else None
    mine = [exclusion for exclusion in tuning.exclusions if rule in exclusion.which]
    if mode is RuleMode.OFF or any(not exclusion.selectors for exclusion in mine):
        return None
    excluded = tuple(replace(s, exclude=True) for exclusion in mine for s in exclusion.selectors)
    if not excluded and mode is None:
        return rule
    links = [without(link, excluded) for link in rule.links]
    if mode is RuleMode.DETECT:
        links = [harmless(link) for link in links]
    elif mode is RuleMode.BLOCK:
        links[0] = replace(links[0], disruption=Disruption.DENY)
    return replace(rule, links=tuple(links))


def without(link: Link, excluded: Iterable[Selector]) -> Link:
    """Of the selectors only those that take something away from the link."""
    seen = {selector.variable for selector in link.selectors if not selector.exclude}
    return replace(link, selectors=link.selectors + tuple(s for s in excluded if s.variable in seen))


def harmless(link: Link) -> Link:
    """Without what it adds to a score, and without its decision. What it sets outright, other rules may depend on."""
    kept = tuple(change for change in link.sets if change.collection != Variable.TX or change.change != Change.ADD)
    return replace(link, sets=kept, disruption=Disruption.NONE)


def head(tuning: Tuning, position: Position) -> Lowered:
    """The rule that carries out the conditional exclusions."""
    link = Link(rule=0, phase=1, log=False, origin=f"{position.file}:{position.line}")
    return Lowered(position, 0, 1, (link,), tuple((0, removal) for removal in removals(tuning.conditional)))


def removals(exclusions: Iterable[Exclusion]) -> Iterator[Removal]:
    """One for each selector, as a transaction keeps few of them."""
    meant: dict[Selector | None, list[Container[Lowered]]] = {}
    for exclusion in exclusions:
        for selector in exclusion.selectors or (None,):
            meant.setdefault(selector, []).append(exclusion.which)
    for selector, which in meant.items():
        control = Control.REMOVE_TARGETS if selector else Control.REMOVE_RULES
        yield Removal(control, selector=selector, which=tuple(which))
