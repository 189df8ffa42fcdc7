"""The databases that a group of expressions is looked for with: the lanes of `regex.lanes`, with phrases in them.

A plan is remembered on disk beside the databases: where patterns do not fit, planning compiles many to find out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratelimitd import cache
from ratelimitd.waf.regex.lanes import ALPHABETS, Lane, lanes
from ratelimitd.waf.regex.nodes import byte_set
from ratelimitd.waf.regex.parse import Flags

VERSION = 1  # of the plan's form and of what makes it: a change invalidates what is on disk
CASELESS, DOTALL, MULTILINE, SINGLEMATCH, ALLOWEMPTY = 1, 2, 4, 8, 16  # hs_compile.h
FLAGS = DOTALL | MULTILINE | SINGLEMATCH | ALLOWEMPTY


@dataclass(frozen=True, slots=True)
class Expression:
    """A regular expression, or phrases of which any may occur, in any ASCII case."""

    regex: bytes = b""
    ignore_case: bool = False
    phrases: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A pattern of a database. A hit says that the expression (an index) matches, or, unless `exact`, that it may."""

    pattern: bytes
    flags: int
    expression: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Database:
    """Scanned over a text without its `erased` bytes, if the text has one of `needs` (0: always). Sets of bytes."""

    needs: int
    erased: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The first step whose alphabet holds a text is scanned. `ungated` expressions may match any text."""

    steps: tuple[tuple[int, tuple[Database, ...]], ...]
    ungated: tuple[int, ...] = ()


def plan_path(expressions: Sequence[Expression], cache_dir: str) -> Path:
    """Where the plan of these expressions is kept."""
    key = hashlib.sha256(repr((VERSION, ALPHABETS, tuple(expressions))).encode()).hexdigest()
    return Path(cache_dir) / f"{key}.plan"


def draw(expressions: Sequence[Expression], fits: Callable[[bytes], bool]) -> Plan:
    """`fits` says whether the pattern library takes an expression."""
    regexes = [index for index, expression in enumerate(expressions) if not expression.phrases]
    patterns = [(expressions[i].regex, Flags(caseless=expressions[i].ignore_case)) for i in regexes]
    drawn = lanes(patterns, fits)
    steps = []
    for step in drawn.steps:
        databases = [Database(lane.needs, lane.erased, rows_of(lane, regexes)) for lane in step.lanes if lane.rows]
        steps.append((step.alphabet, with_phrases(databases, phrase_rows(expressions, step.alphabet))))
    return Plan(tuple(steps), tuple(regexes[i] for i in drawn.ungated))


def rows_of(lane: Lane, regexes: Sequence[int]) -> tuple[Row, ...]:
    return tuple(Row(row.expression, FLAGS, regexes[row.pattern], row.exact) for row in lane.rows)


def phrase_rows(expressions: Sequence[Expression], alphabet: int) -> tuple[Row, ...]:
    """The phrases that can occur in a text of the alphabet, whose letters come in both cases."""
    return tuple(
        Row(b"".join(b"\\x%02x" % byte for byte in phrase), FLAGS | CASELESS, index, True)
        for index, expression in enumerate(expressions)
        for phrase in expression.phrases
        if byte_set(phrase) & ~alphabet == 0
    )


def with_phrases(databases: list[Database], rows: tuple[Row, ...]) -> tuple[Database, ...]:
    """Phrases go with what is always scanned."""
    if not rows:
        return tuple(databases)
    always = [d for d in databases if not d.needs and not d.erased]
    others = [d for d in databases if d.needs or d.erased]
    return (Database(0, 0, sum((d.rows for d in always), ()) + rows), *others)


# ---- on disk


def write(path: Path, made: Plan) -> None:
    """Whole or not at all; a cache that cannot be written is no error."""
    body = json.dumps(
        {
            "ungated": made.ungated,
            "steps": [
                [f"{alphabet:x}", [[f"{d.needs:x}", f"{d.erased:x}", [row_data(r) for r in d.rows]] for d in databases]]
                for alphabet, databases in made.steps
            ],
        }
    )
    cache.write(path, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}".encode())


def row_data(row: Row) -> list[str | int | bool]:
    return [row.pattern.decode("latin-1"), row.flags, row.expression, row.exact]


def read(path: Path) -> Plan | None:
    """None: no plan, or not one that we wrote, and whole."""
    digest, _, body = (cache.read(path) or b"").partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    data = json.loads(body)
    return Plan(
        tuple(
            (
                int(alphabet, 16),
                tuple(Database(int(needs, 16), int(erased, 16), rows_read(rows)) for needs, erased, rows in found),
            )
            for alphabet, found in data["steps"]
        ),
        tuple(data["ungated"]),
    )


def rows_read(rows: list[tuple[str, int, int, bool]]) -> tuple[Row, ...]:
    return tuple(Row(pattern.encode("latin-1"), flags, expression, exact) for pattern, flags, expression, exact in rows)
