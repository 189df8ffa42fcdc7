"""Short pattern rules as links of a rule program, so that they run with those of SecLang and share its score.

A rule is one link of phase 2: its patterns are alternatives, its targets selectors. It fires once in a request, however
many fields match, and adds to the score that the thresholds look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ratelimitd.errors import Position
from ratelimitd.policy.plan import Rule, Target, TargetRef
from ratelimitd.waf.lower import Lowered
from ratelimitd.waf.program import Change, Disruption, Link, Operator, Selector, SetVariable, Variable

PHASE = 2
# What the rule looks at, as plan.Target says it.
LOOKS_AT: dict[Target, Variable] = {
    Target.METHOD: Variable.REQUEST_METHOD,
    Target.PATH: Variable.RAW_PATH,
    Target.QUERY: Variable.QUERY_STRING,
    Target.ARGS: Variable.ARGS,
    Target.ARGS_NAMES: Variable.ARGS_NAMES,
    Target.HEADERS: Variable.REQUEST_HEADERS,
    Target.HEADERS_NAMES: Variable.REQUEST_HEADERS_NAMES,
    Target.COOKIES: Variable.REQUEST_COOKIES,
    Target.COOKIES_NAMES: Variable.REQUEST_COOKIES_NAMES,
    Target.BODY: Variable.RAW_BODY,
    Target.HOST: Variable.SERVER_NAME,
    Target.FILES_NAMES: Variable.FILES,
}


def number_of(id: bytes) -> int:
    """A rule's id as SecLang has it, for what names rules by number; 0: it is a word."""
    return int(id) if id.isdigit() and len(id) < 10 else 0


def argument(rule: Rule) -> bytes:
    """Any of the patterns. As in Hyperscan, where they come from, ^ and $ are the ends of the value, not of a line."""
    flags = b"i-m" if rule.ignore_case else b"-m"
    return b"|".join(b"(?%b:%b)" % (flags, pattern) for pattern in rule.patterns)


def selector(ref: TargetRef) -> Selector:
    return Selector(LOOKS_AT[ref.target], ref.name.lower(), exclude=ref.exclude)


def link_of(rule: Rule, score: bytes, status: int, origin: str = "") -> Link:
    """score: the TX name that the rule adds to. status: of a denial."""
    added = SetVariable(Variable.TX, (score,), Change.ADD, (b"%d" % rule.score,))
    return Link(
        rule=number_of(rule.id),
        phase=PHASE,
        selectors=tuple(map(selector, rule.targets)),
        operator=Operator.RX,
        argument=(argument(rule),),
        phrases=rule.patterns,
        transformations=rule.transformations,
        sets=(added,) if rule.score else (),
        disruption=Disruption.DENY if rule.deny else Disruption.NONE,
        status=status,
        message=(rule.message,) if rule.message else (),
        tags=rule.tags,
        name=rule.id,
        once=True,
        origin=origin,
    )


def lowered(rules: Iterable[Rule], score: bytes, status: int, origins: Iterator[Position]) -> Iterator[Lowered]:
    """The rules as the compiler of programs takes them. origins: where each is written."""
    for rule, position in zip(rules, origins, strict=False):
        link = link_of(rule, score, status, f"{position.file}:{position.line}")
        yield Lowered(position, link.rule, PHASE, (link,))
