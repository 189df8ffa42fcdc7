"""Seeded rule programs for soundness tests: links that real rules do not have, so that no shortcut goes untried."""

from __future__ import annotations

from random import Random

from ratelimitd.waf.program import Change, Link, Operator, Program, Reference, Selector, SetVariable, Variable
from ratelimitd.waf.transformation import Transformation

FIELDS = (
    Variable.ARGS,
    Variable.ARGS_NAMES,
    Variable.ARGS_GET,
    Variable.ARGS_POST,
    Variable.ARGS_GET_NAMES,
    Variable.REQUEST_HEADERS,
    Variable.REQUEST_HEADERS_NAMES,
    Variable.REQUEST_COOKIES,
    Variable.REQUEST_COOKIES_NAMES,
    Variable.FILES,
    Variable.XML_TEXT,
)
SINGLE = (
    Variable.REQUEST_URI,
    Variable.REQUEST_URI_RAW,
    Variable.REQUEST_FILENAME,
    Variable.QUERY_STRING,
    Variable.REQUEST_BODY,
    Variable.REQUEST_METHOD,
)
# Fields that mutants have, in the case that selectors are in.
NAMES = (b"foo", b"a", b"id", b"name", b"q", b"user-agent", b"host", b"x", b"test", b"")
# Of every kind that scanning treats apart: literals, classes, anchors, words with bytes between that are erased, and
# what Vectorscan cannot do.
PATTERNS = (
    rb"select",
    rb"(?i)union\s+select",
    rb"^[a-z]+$",
    rb"^$",
    rb"",
    rb"\d{2,}",
    rb"[\"'`]",
    rb"(?i)<script[^>]*>",
    rb"\bcat\b",
    rb"c[\\'\"]*a[\\'\"]*t",
    rb"(?:^|[^a-z])ls(?:[^a-z]|$)",
    rb"\.\./",
    rb"\x00",
    rb"[^\x20-\x7e]",
    rb"(a|b|c)\1",
    rb"(?<!x)1(?=[^0-9])",
    rb"%[0-9a-f]{2}",
    rb"/etc/(?:passwd|shadow)",
    rb"\$\{[^}]{1,40}",
    rb".{30,}",
    rb"=\s*\S+\z",
    rb"(?s)\A.[^=]",
    rb"a|",
)
WORDS = (b"select", b"<script", b"sleep(", b"/etc/", b"1", b"bar", b"curl", b"'", b"java")


def selectors(draw: Random) -> tuple[Selector, ...]:
    """Several that may overlap, some by name or regex, and exclusions from them."""
    made = []
    for _ in range(draw.choice((1, 1, 2, 3, 4))):
        variable = draw.choice(FIELDS if draw.random() < 0.75 else SINGLE)
        kind = draw.random() if variable in FIELDS else 1.0
        if kind < 0.2:
            made.append(Selector(variable, draw.choice(NAMES)))
        elif kind < 0.3:
            made.append(Selector(variable, regex=draw.choice((rb"^[a-j]", rb"o", rb"\d$"))))
        else:
            made.append(Selector(variable))
    for chosen in draw.sample(made, draw.choice((0, 0, 1)) if made else 0):
        if chosen.variable in FIELDS:
            made.append(Selector(chosen.variable, draw.choice(NAMES[:-1]), exclude=True))
    return tuple(made)


def operator(draw: Random) -> dict[str, object]:
    kind = draw.choice(
        (Operator.RX,) * 8
        + (Operator.PHRASES, Operator.CONTAINS, Operator.BEGINS_WITH, Operator.ENDS_WITH, Operator.STREQ)
        + (Operator.VALIDATE_BYTE_RANGE, Operator.DETECT_SQLI, Operator.DETECT_XSS)
    )
    if kind == Operator.RX:
        return {"operator": kind, "argument": (draw.choice(PATTERNS),), "ignore_case": draw.random() < 0.2}
    if kind == Operator.PHRASES:
        return {"operator": kind, "phrases": tuple(draw.sample(WORDS, draw.randint(1, 5)))}
    if kind == Operator.VALIDATE_BYTE_RANGE:
        return {"operator": kind, "argument": (draw.choice((b"32-126", b"1-255", b"9,10,13,32-126,128-255")),)}
    if kind in (Operator.DETECT_SQLI, Operator.DETECT_XSS):
        return {"operator": kind}
    return {"operator": kind, "argument": (draw.choice(WORDS),)}


def transformations(draw: Random, pool: list[Transformation]) -> tuple[Transformation, ...]:
    return tuple(draw.choice(pool) for _ in range(draw.choice((0, 1, 1, 2, 3, 4))))


def program(seed: int, size: int = 40) -> Program:
    """The same program for the same seed. Some rules are chains that read what the first link captured or matched."""
    draw = Random(seed)
    # Few kinds in a program, or chains of transformations would have no more than beginnings in common.
    pool = [*draw.sample(list(Transformation), 6), Transformation.LOWERCASE, Transformation.URL_DECODE_UNI]
    links = []
    for rule in range(1, size + 1):
        first = Link(
            rule,
            draw.choice((1, 2, 2)),
            selectors(draw),
            transformations=transformations(draw, pool),
            multi_match=draw.random() < 0.15,
            capture=draw.random() < 0.3,
            negated=draw.random() < 0.08,
            chained=draw.random() < 0.25,
            sets=(SetVariable(Variable.TX, (b"score",), Change.ADD, (b"%d" % draw.randint(1, 5),)),),
            **operator(draw),  # type: ignore[arg-type]
        )
        links.append(first)
        if first.chained:
            about = draw.choice((Variable.MATCHED_VAR, Variable.MATCHED_VARS, Variable.TX))
            name = b"1" if about == Variable.TX else b""
            links.append(
                Link(
                    rule,
                    first.phase,
                    (Selector(about, name),),
                    transformations=transformations(draw, pool)[:1],
                    capture=draw.random() < 0.3,
                    negated=draw.random() < 0.3,
                    sets=(SetVariable(Variable.TX, (b"last",), Change.SET, (Reference(Variable.TX, b"0"),)),),
                    **operator(draw),  # type: ignore[arg-type]
                )
            )
    return Program(tuple(sorted(links, key=lambda link: link.phase)), scores=(b"score",), score=b"score")
