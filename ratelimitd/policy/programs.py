"""From what a policy says of scanning to rule programs: one for each profile and each set of conditional exclusions.

A conditional exclusion holds for some requests only. For every set of them whose matches go together there is a variant
of the profile, and routes that choose it: `expand`. Variants search for the same patterns, so they share databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.policy import names
from ratelimitd.policy.matches import both
from ratelimitd.policy.plan import Condition, Match, Op, Profile, Rule, ScanMode, ScanRoute, Source, Target, TargetRef
from ratelimitd.policy.rules import lowered
from ratelimitd.policy.rulesets import RuleSet
from ratelimitd.policy.schema import ExcludeSpec, ProfileSpec
from ratelimitd.waf.compile import SCORES, Settings, assemble, configure
from ratelimitd.waf.fold import Item, Marker
from ratelimitd.waf.lower import Lowered
from ratelimitd.waf.program import (
    Change,
    Control,
    Ctl,
    Disruption,
    Engine,
    Link,
    Operator,
    Program,
    Reference,
    Selector,
    SetVariable,
    Variable,
)
from ratelimitd.waf.seclang.tree import Configuration, IdRange
from ratelimitd.waf.tuning import Exclusion, RuleMode, Tuning, Which

INBOUND, OUTBOUND = 5, 4  # thresholds, as the Core Rule Set has them
OWN_SCORE = b"inbound_anomaly_score_pl1"
THRESHOLD, THRESHOLD_OUT = b"inbound_anomaly_score_threshold", b"outbound_anomaly_score_threshold"
UNPARSED = IdRange(200002, 200004)  # of base.conf
OWN_THRESHOLD = b"anomaly_threshold"  # the same to the built-in rules
MAX_ROUTES = 512

# What a target of the policy's words is in SecLang's: whatever a rule may call it.
EXCLUDED: dict[Target, tuple[Variable, ...]] = {
    Target.METHOD: (Variable.REQUEST_METHOD,),
    Target.PATH: (
        Variable.RAW_PATH,
        Variable.REQUEST_URI,
        Variable.REQUEST_URI_RAW,
        Variable.REQUEST_FILENAME,
        Variable.REQUEST_BASENAME,
        Variable.PATH_INFO,
    ),
    Target.QUERY: (Variable.QUERY_STRING,),
    Target.ARGS: (Variable.ARGS, Variable.ARGS_GET, Variable.ARGS_POST),
    Target.ARGS_NAMES: (Variable.ARGS_NAMES, Variable.ARGS_GET_NAMES, Variable.ARGS_POST_NAMES),
    Target.HEADERS: (Variable.REQUEST_HEADERS,),
    Target.HEADERS_NAMES: (Variable.REQUEST_HEADERS_NAMES,),
    Target.COOKIES: (Variable.REQUEST_COOKIES,),
    Target.COOKIES_NAMES: (Variable.REQUEST_COOKIES_NAMES,),
    Target.BODY: (Variable.RAW_BODY, Variable.REQUEST_BODY, Variable.XML_TEXT, Variable.XML_ATTRIBUTES),
    Target.HOST: (Variable.SERVER_NAME,),
    Target.FILES_NAMES: (Variable.FILES, Variable.MULTIPART_FILENAME),
}


@dataclass(frozen=True, slots=True)
class Conditional:
    """An exclusion with a match. `number` counts the policy's, from 1."""

    number: int
    exclusion: Exclusion
    match: Match


@dataclass(frozen=True, slots=True)
class Way:
    """One way to scan: what a profile says, and `scan` where it says nothing."""

    name: str
    spec: ProfileSpec
    sets: tuple[RuleSet, ...]
    rules: tuple[Rule, ...]
    places: tuple[Position, ...]  # of the rules
    conditional: tuple[Conditional, ...] = ()
    disabled: tuple[str, ...] = ()


# ---- words


def which(rules: Iterable[str], tags: Iterable[str] = ()) -> Which:
    """Numbers and ranges, and ids that are words."""
    spans, words = [], []
    for text in rules:
        span = names.parse_span(text)
        if span:
            spans.append(span)
        else:
            words.append(text.encode())
    return Which(tuple(spans), tuple(words), tuple(tag.encode("utf-8", "surrogatepass") for tag in tags))


def selectors(ref: TargetRef) -> Iterator[Selector]:
    """A name with `*` in it is a pattern."""
    name = ref.name.lower()
    pattern = b""
    if b"*" in name:
        pattern = b"^" + b".*".join(re.escape(part) for part in name.split(b"*")) + b"$"
        name = b""
    for variable in EXCLUDED[ref.target]:
        yield Selector(variable, name, pattern)


def exclusion(spec: ExcludeSpec) -> Exclusion:
    refs = [ref for text in spec.targets if (ref := names.parse_excluded(text))]
    return Exclusion(which(spec.rules, spec.tags), tuple(s for ref in refs for s in selectors(ref)))


def tuning(way: Way, conditional: Iterable[Exclusion] = ()) -> Tuning:
    off = [Exclusion(which(way.disabled))] if way.disabled else []
    modes = [(which([rule]), names.RULE_MODES[mode]) for rule, mode in way.spec.rule_modes.items()]
    if way.spec.broken_body == "deny":
        modes.insert(0, (Which(ids=(UNPARSED,)), RuleMode.BLOCK))
    return Tuning(
        exclusions=(*off, *(exclusion(spec) for spec in way.spec.exclude if spec.match is None)),
        conditional=tuple(conditional),
        modes=tuple(modes),
    )


# ---- our own rules


def own(position: Position, *links: Link, phase: int) -> Lowered:
    """A rule without a number: `links` are its chain."""
    *first, last = (replace(link, phase=phase, origin=f"{position.file}:{position.line}") for link in links)
    return Lowered(position, 0, phase, (*(replace(link, chained=True) for link in first), last))


def assigned(name: bytes, value: int) -> SetVariable:
    return SetVariable(Variable.TX, (name,), Change.SET, (b"%d" % value,))


def settings_of(way: Way, items: Sequence[Item]) -> Iterator[SetVariable]:
    """What the policy says, by the names that the Core Rule Set has for it (version 4, and 3)."""
    spec = way.spec
    if spec.paranoia is not None:
        yield assigned(b"blocking_paranoia_level", spec.paranoia)
        yield assigned(b"paranoia_level", spec.paranoia)
    if spec.detection_paranoia is not None:
        yield assigned(b"detection_paranoia_level", spec.detection_paranoia)
        yield assigned(b"executing_paranoia_level", spec.detection_paranoia)
    for name, value, default in (
        (THRESHOLD, spec.threshold.inbound if spec.threshold else None, INBOUND),
        (OWN_THRESHOLD, spec.threshold.inbound if spec.threshold else None, INBOUND),
        (THRESHOLD_OUT, spec.threshold.outbound if spec.threshold else None, OUTBOUND),
    ):
        if value is not None or name not in set_by(items):
            yield assigned(name, default if value is None else value)


def set_by(items: Iterable[Item]) -> set[bytes]:
    """The TX names that rules spell out when they set them."""
    return {
        b"".join(part for part in change.name if isinstance(part, bytes))
        for item in items
        if isinstance(item, Lowered)
        for link in item.links
        for change in link.sets
        if change.collection == Variable.TX
    }


def score_name(items: Iterable[Item]) -> bytes:
    """What short rules add to: the score of the rules that are there."""
    there = set_by(items)
    return next((name for name in (OWN_SCORE, b"anomaly_score_pl1", b"anomaly_score") if name in there), OWN_SCORE)


def decides(item: Item) -> bool:
    """Is it a rule that denies requests by their score?"""
    if isinstance(item, Marker) or item.phase > 2 or item.links[0].disruption != Disruption.DENY:
        return False
    return any(b"anomaly_score" in s.name for s in item.links[0].selectors if s.variable == Variable.TX and not s.count)


def threshold(position: Position, scores: Sequence[bytes]) -> Iterator[Lowered]:
    """Adds the scores up, if there are several, and denies by what comes out."""
    total = scores[0]
    if len(scores) > 1:
        total = b"inbound_anomaly_score"
        added = (SetVariable(Variable.TX, (total,), Change.ADD, (Reference(Variable.TX, name),)) for name in scores)
        yield own(position, Link(0, 2, sets=tuple(added), log=False), phase=2)
    link = Link(
        0,
        2,
        selectors=(Selector(Variable.TX, total),),
        operator=Operator.GE,
        argument=(Reference(Variable.TX, THRESHOLD),),
        disruption=Disruption.DENY,
        status=0,
        log=False,
        message=(b"The score has reached the threshold",),
        name=b"threshold",
    )
    yield own(position, link, phase=2)


def unknown_body(position: Position, how: str | None) -> Iterator[Lowered]:
    if how == "raw":
        force = Link(0, 1, ctls=(Ctl(Control.FORCE_BODY, 1),), log=False)
        yield own(position, force, phase=1)
    if how == "deny":
        body = Link(
            0,
            2,
            selectors=(Selector(Variable.REQUEST_BODY_LENGTH),),
            operator=Operator.GT,
            argument=(b"0",),
            disruption=Disruption.DENY,
            status=415,
            message=(b"A body of an unknown type",),
            name=b"unknown-body",
        )
        parsed = Link(0, 2, selectors=(Selector(Variable.REQBODY_PROCESSOR),), operator=Operator.STREQ, argument=(b"",))
        yield own(position, body, parsed, phase=2)


# ---- programs


def merged(base: RuleSet, sets: Sequence[RuleSet]) -> Configuration:
    """All rule sets as one. Raises PolicyError: an id is taken. What the base has, a rule set may have too."""
    taken: dict[int, Position] = {}
    wrong: list[Diagnostic] = []
    for item in sets:
        for number, rule in item.ids():
            if number in taken:
                wrong.append(Diagnostic("S602", f"id {number} is taken", rule.position, f"it is {taken[number]}'s"))
            taken.setdefault(number, rule.position)
    if wrong:
        raise PolicyError(wrong)
    first = [d for d in base.configuration.directives if getattr(d, "id", 0) not in taken]
    return Configuration(
        (*first, *(d for item in sets for d in item.configuration.directives)),
        (*base.configuration.files, *(file for item in sets for file in item.configuration.files)),
    )


@dataclass
class Programs:
    """Makes programs; what several have in common is made once."""

    base: RuleSet
    configured: dict[tuple[RuleSet, ...], tuple[Settings, list[Item], tuple[str, ...]]] = field(default_factory=dict)

    def parts(self, sets: tuple[RuleSet, ...]) -> tuple[Settings, list[Item], tuple[str, ...]]:
        if sets not in self.configured:
            configuration = merged(self.base, sets)
            settings, items = configure(configuration)
            # Whether rules are enforced is the policy's mode, not a line of a rule file.
            settings = replace(settings, engine=Engine.ON)
            self.configured[sets] = settings, items, tuple(file.path for file in configuration.files)
        return self.configured[sets]

    def make(self, way: Way, position: Position, conditional: Iterable[Exclusion] = ()) -> Program:
        """Raises PolicyError."""
        settings, items, sources = self.parts(way.sets)
        setup = {file for item in way.sets for file in item.found.setup}
        last = max(
            (i for i, item in enumerate(items) if isinstance(item, Lowered) and item.position.file in setup), default=-1
        )
        said = own(position, Link(0, 1, sets=tuple(settings_of(way, items)), log=False), phase=1)
        status = way.spec.status or 403
        short = [*lowered(way.rules, score_name(items), status, iter(way.places))]
        rules: list[Item] = [
            *items[: last + 1],
            said,
            *unknown_body(position, way.spec.unknown_body),
            *short,
            *items[last + 1 :],
        ]
        if not any(map(decides, items)):
            scores = sorted(name for name in set_by(rules) if SCORES.fullmatch(name) and not name.startswith(b"out"))
            rules += threshold(position, scores) if scores else ()
        return assemble(settings, rules, (), status, tuning(way, conditional), sources)


# ---- profiles and routes


@dataclass(frozen=True, slots=True)
class Choice:
    """Some requests: which way they are scanned, with which conditional exclusions."""

    match: Match
    mode: ScanMode
    way: int
    exclusions: tuple[int, ...] = ()  # numbers


class TooManyError(Exception):
    """Of the routes that conditional exclusions make."""


def subsets(conditional: Sequence[Conditional], within: Match) -> list[tuple[Match, tuple[int, ...]]]:
    """Every set of exclusions that some requests have together, the larger ones first; the last is none."""
    found: list[tuple[Match, tuple[int, ...]]] = [(within, ())]
    for item in conditional:
        for match, numbers in list(found):
            meet = both(match, item.match)
            if meet.alternatives:
                found.append((meet, (*numbers, item.number)))
        if len(found) > MAX_ROUTES:
            raise TooManyError
    return sorted(found, key=lambda pair: -len(pair[1]))


def expand(
    routes: Sequence[tuple[Match, ScanMode, int]], mode: ScanMode, ways: Sequence[Way], attribute: bytes
) -> list[Choice]:
    """Routes as the engine takes them: the first that matches decides all. Raises TooManyError."""
    choices: list[Choice] = []
    for match, route_mode, route_way in (*routes, (Match(), mode, 0)):
        for meet, way in by_attribute(match, route_way, ways, attribute):
            parts = [(meet, ())] if route_mode is ScanMode.OFF else subsets(ways[way].conditional, meet)
            choices += (Choice(part, route_mode, way, numbers) for part, numbers in parts)
            if len(choices) > MAX_ROUTES:
                raise TooManyError
    if choices[-1].match == Match():
        choices.pop()  # what no route matches
    return choices


def by_attribute(match: Match, way: int, ways: Sequence[Way], attribute: bytes) -> Iterator[tuple[Match, int]]:
    """The match, and before it one for each profile that the caller may ask for."""
    for index, other in enumerate(ways):
        if attribute and index > 0:
            asked = Condition(Source.ATTRIBUTE, Op.EXACT, attribute, (other.name.encode(),))
            meet = both(match, Match(((asked,),)))
            if meet.alternatives:
                yield meet, index
    yield match, way


def profiles(
    programs: Programs, ways: Sequence[Way], choices: Sequence[Choice], position: Position
) -> tuple[tuple[Profile, ...], tuple[ScanRoute, ...]]:
    """The profiles that choices need, and the routes to them. Raises PolicyError."""
    wanted: dict[tuple[int, tuple[int, ...]], int] = {(0, ()): 0}
    for choice in choices:
        if choice.mode is not ScanMode.OFF:
            wanted.setdefault((choice.way, choice.exclusions), len(wanted))
    made = []
    for index, numbers in wanted:
        way = ways[index]
        conditional = [item.exclusion for item in way.conditional if item.number in numbers]
        program = programs.make(way, position, conditional)
        name = way.name + ("~" + ",".join(map(str, numbers)) if numbers else "")
        made.append(
            Profile(
                name=name.encode(),
                program=program,
                status=way.spec.status or 403,
                body_limit=131_072 if way.spec.body_limit is None else way.spec.body_limit,
                deny_partial_body=way.spec.partial_body == "deny",
            )
        )
    routes = (ScanRoute(c.match, c.mode, wanted.get((c.way, c.exclusions), 0)) for c in choices)
    return tuple(made), tuple(routes)
