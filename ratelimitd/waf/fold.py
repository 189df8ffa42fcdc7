"""Runs a rule set ahead of time, as far as it does not depend on the request.

Most rules of the Core Rule Set only prepare: they set defaults and skip what the paranoia level leaves out. With the
setup known their outcome is too. This walks the phases in order with what is certain of TX (an abstract interpretation
with constants), drops rules that cannot match, carries out those that always do, and fills in what is known where rules
refer to it.

Sound by three rules: what a rule that may run sets is unknown from there on; between a skip that may be taken and its
marker nothing is carried out ahead; a variable that somebody may read as the request runs is not set ahead of that
reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ratelimitd.waf.lower import Lowered
from ratelimitd.waf.program import Change, Disruption, Link, Operator, Reference, Selector, SetVariable, Text, Variable
from ratelimitd.waf.transformation import Transformation


@dataclass(frozen=True, slots=True)
class Marker:
    name: bytes


Item = Lowered | Marker


class _Unknown:
    """A value that depends on the request."""


UNKNOWN = _Unknown()
Value = bytes | None | _Unknown  # None: not set


def number(value: bytes) -> int:
    """As C's atoi."""
    found = re.match(rb"\s*([+-]?\d+)", value)
    return int(found[1]) if found else 0


OPERATORS: dict[Operator, Callable[[bytes, bytes], bool]] = {
    Operator.EQ: lambda value, wanted: number(value) == number(wanted),
    Operator.GE: lambda value, wanted: number(value) >= number(wanted),
    Operator.GT: lambda value, wanted: number(value) > number(wanted),
    Operator.LE: lambda value, wanted: number(value) <= number(wanted),
    Operator.LT: lambda value, wanted: number(value) < number(wanted),
    Operator.STREQ: lambda value, wanted: value == wanted,
    Operator.CONTAINS: lambda value, wanted: wanted in value,
    Operator.BEGINS_WITH: lambda value, wanted: value.startswith(wanted),
    Operator.ENDS_WITH: lambda value, wanted: value.endswith(wanted),
    Operator.WITHIN: lambda value, wanted: value in wanted,
    Operator.UNCONDITIONAL: lambda value, wanted: True,
    Operator.NO_MATCH: lambda value, wanted: False,
    Operator.RX: lambda value, wanted: re.search(wanted, value, re.DOTALL | re.MULTILINE) is not None,
}
# Patterns that mean the same to Python and to PCRE2.
PLAIN = re.compile(rb"[\w ^$/.-]*")


class Environment:
    """What is certain of TX."""

    def __init__(self, initial: Iterable[tuple[bytes, bytes]]) -> None:
        self.values: dict[bytes, Value] = dict(initial)
        self.patterns: list[re.Pattern[bytes]] = []  # names that a rule may make up as it runs

    def get(self, name: bytes) -> Value:
        if name.isdigit() and len(name) == 1:
            return UNKNOWN  # a capture
        if name not in self.values and any(pattern.fullmatch(name) for pattern in self.patterns):
            return UNKNOWN
        return self.values.get(name)

    def forget(self, name: Text) -> None:
        if all(isinstance(part, bytes) for part in name):
            self.values[b"".join(name)] = UNKNOWN  # type: ignore[arg-type]
            return
        pattern = re.compile(b"".join(re.escape(p) if isinstance(p, bytes) else b".*" for p in name), re.DOTALL)
        self.patterns.append(pattern)
        for known in self.values:
            if pattern.fullmatch(known):
                self.values[known] = UNKNOWN

    def fill(self, text: Text) -> Text:
        """The text with what is known filled in."""
        parts: list[bytes | Reference] = []
        for part in text:
            if isinstance(part, Reference) and part.variable == Variable.TX and part.name:
                value = self.get(part.name)
                if value is None or isinstance(value, bytes):
                    part = value or b""
            if isinstance(part, bytes) and parts and isinstance(parts[-1], bytes):
                parts[-1] += part
            elif part != b"":
                parts.append(part)
        return tuple(parts)


def constant(text: Text) -> bytes | None:
    return b"".join(text) if all(isinstance(part, bytes) for part in text) else None  # type: ignore[arg-type]


class Folder:
    """One pass over all phases."""

    def __init__(self, initial: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.environment = Environment(initial)
        self.start: dict[bytes, bytes | None] = dict(initial)
        self.read: set[bytes] = set()  # names that rules which may run look at by selector
        self.read_any = False  # ... or by a pattern

    def phase(self, items: list[Item]) -> list[Item]:
        """The phase's rules that are left, with its markers."""
        kept: list[Item] = []
        skipping: set[bytes] = set()  # where what never runs may end: a skip that is always taken
        doubtful: set[bytes] = set()  # markers of skips that may be taken
        for item in items:
            if isinstance(item, Marker):
                if item.name in skipping:
                    skipping = set()
                doubtful.discard(item.name)
                kept.append(item)
                continue
            if skipping:
                continue
            outcome, rule = self.rule(item, certain=not doubtful)
            if outcome is True and rule.skip is not None:
                # If an earlier skip was taken, it leads behind here: nothing runs before the nearest of the markers.
                skipping = {rule.skip, *doubtful}
                rule = rule if doubtful else replace(rule, skip=None)
            if outcome is False or (outcome is True and not self.matters(rule)):
                continue
            self.keep(rule)
            kept.append(rule)
            if rule.skip is not None:
                doubtful.add(rule.skip)
        return kept

    def rule(self, rule: Lowered, certain: bool) -> tuple[bool | None, Lowered]:
        """(does it match: None when that depends on the request, the rule with what is known filled in)."""
        outcome: bool | None = True
        links = list(rule.links)
        for index, link in enumerate(links):
            links[index] = link = self.filled(link)
            matches = self.matches(link)
            if matches is False:
                # What earlier links of the chain set, they set all the same.
                return (None if any(other.sets for other in links[:index]) else False), replace(
                    rule, links=tuple(links)
                )
            if outcome is True and matches is True:
                links[index] = self.carried_out(link, certain)
            else:
                outcome = None
        if outcome is None:
            return None, replace(rule, links=tuple(links))
        return True, replace(rule, links=(self.merged(links),), removals=tuple((0, r) for _, r in rule.removals))

    @staticmethod
    def merged(links: list[Link]) -> Link:
        """A chain that always matches, as one link."""
        return replace(
            links[0],
            selectors=(),
            operator=Operator.UNCONDITIONAL,
            negated=False,
            argument=(),
            phrases=(),
            transformations=(),
            multi_match=False,
            chained=False,
            sets=tuple(change for link in links for change in link.sets),
            ctls=tuple(ctl for link in links for ctl in link.ctls),
        )

    def filled(self, link: Link) -> Link:
        sets = tuple(
            replace(s, name=self.environment.fill(s.name), value=self.environment.fill(s.value)) for s in link.sets
        )
        return replace(link, argument=self.environment.fill(link.argument), sets=sets)

    def matches(self, link: Link) -> bool | None:
        if not link.selectors:
            return True
        argument = constant(link.argument)
        if (
            link.operator not in OPERATORS
            or argument is None
            or any(t != Transformation.LOWERCASE for t in link.transformations)
            or (link.operator == Operator.RX and (link.ignore_case or not PLAIN.fullmatch(argument)))
        ):
            return None
        operate = OPERATORS[link.operator]
        any_match = False
        for selector in link.selectors:
            value = self.value(selector)
            if isinstance(value, _Unknown):
                return None
            if value is not None:
                value = value.lower() if link.transformations else value
                any_match |= operate(value, argument) != link.negated
        return any_match

    def value(self, selector: Selector) -> Value:
        if selector.variable != Variable.TX or not selector.name or selector.exclude:
            return UNKNOWN
        value = self.environment.get(selector.name)
        if selector.count and not isinstance(value, _Unknown):
            return b"0" if value is None else b"1"
        return value

    def carried_out(self, link: Link, certain: bool) -> Link:
        """The link without the settings that could be made ahead."""
        left: list[SetVariable] = []
        for change in link.sets:
            name, value = constant(change.name), constant(change.value)
            before = self.environment.get(name) if name is not None and change.collection == Variable.TX else UNKNOWN
            if (
                not certain
                or name is None
                or value is None
                or isinstance(before, _Unknown)
                or name in self.read
                or self.read_any
            ):
                left.append(change)
                continue
            self.environment.values[name] = self.start[name] = self.changed(change, before, value)
        return replace(link, sets=tuple(left))

    @staticmethod
    def changed(change: SetVariable, before: bytes | None, value: bytes) -> bytes | None:
        if change.change == Change.SET:
            return value
        if change.change == Change.UNSET:
            return None
        return b"%d" % (number(before or b"") + (number(value) if change.change == Change.ADD else -number(value)))

    @staticmethod
    def matters(rule: Lowered) -> bool:
        """Does a rule that always matches still do something?"""
        link = rule.links[0]
        disrupts = link.disruption != Disruption.NONE
        does = link.sets or link.ctls or rule.removals or rule.skip or link.log or rule.unsupported
        return disrupts or bool(does)

    def keep(self, rule: Lowered) -> None:
        """What a rule that may run reads and sets."""
        for link in rule.links:
            for selector in link.selectors:
                if selector.variable == Variable.TX:
                    self.read.add(selector.name)
                    self.read_any |= not selector.name
            for change in link.sets:
                if change.collection == Variable.TX:
                    self.environment.forget(change.name)


def fold(
    phases: list[list[Item]], initial: Iterable[tuple[bytes, bytes]]
) -> tuple[list[list[Item]], dict[bytes, bytes]]:
    """(the rules of each phase that are left, TX as a request begins)."""
    folder = Folder(initial)
    kept = [folder.phase(items) for items in phases]
    return kept, {name: value for name, value in folder.start.items() if value is not None}
