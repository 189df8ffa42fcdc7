"""Whatever a file holds: a policy, or a PolicyError. Nothing else is raised, and nothing takes long."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.policy import load_text
from ratelimitd.policy.nodes import PolicySyntaxError, compose_with, scalar_of
from ratelimitd.policy.render import as_data, render
from ratelimitd.policy.units import format_duration, parse_duration

HERE = Path(__file__).resolve().parent
TEXTS = [path.read_text(encoding="utf-8") for path in sorted((HERE / "good").glob("*.yaml"))]
WORDS = sorted({word for text in TEXTS for word in text.replace(",", " ").replace("}", " ").replace("{", " ").split()})
PIECES = [
    "&a ",
    "*a",
    "<<: *a",
    "!t ",
    "? ",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "|",
    ">",
    "#",
    "%",
    "@",
    "`",
    "~",
    "\t",
    "\n",
    "\0",
]
PIECES += [
    "\\",
    "---\n",
    "...\n",
    "null",
    "true",
    "-1",
    "1e999",
    ".nan",
    "0x",
    "9" * 400,
    "\u2028",
    "\x85",
    "\ud800",
    "\U0001f4a5",
    "é",
]

RELAXED = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def refused(text: str) -> list[Diagnostic]:
    try:
        load_text(text)
    except PolicyError as error:
        return error.diagnostics
    return []


def holds(text: str) -> None:
    diagnostics = refused(text)
    for diagnostic in diagnostics:
        position = diagnostic.position
        assert position is not None
        assert position.line >= 1
        assert position.column >= 1
    assert bool(render(diagnostics)) == bool(as_data(diagnostics)) == bool(diagnostics)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.sampled_from([*PIECES, *WORDS, ""])) + text[end:]
    return text


@RELAXED
@given(mutations())
def test_a_mutated_policy(text: str) -> None:
    holds(text)


def data_of(text: str, *, pure: bool) -> str | None:
    try:
        return repr(compose_with(text, "policy.yaml", pure=pure).root.data())
    except PolicySyntaxError:
        return None


@RELAXED
@given(mutations())
def test_both_parsers_read_the_same(text: str) -> None:
    fast, sure = data_of(text, pure=False), data_of(text, pure=True)
    assert fast is None or sure is None or fast == sure


@st.composite
def swapped_lines(draw: st.DrawFn) -> str:
    lines = draw(st.sampled_from(TEXTS)).split("\n")
    for _ in range(draw(st.integers(1, 8))):
        a, b = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        lines[a] = draw(
            st.sampled_from([lines[b], "  " + lines[a], lines[a].strip(), lines[a] + " " + lines[b].strip()])
        )
    return "\n".join(lines)


@RELAXED
@given(swapped_lines())
def test_a_shuffled_policy(text: str) -> None:
    holds(text)


@RELAXED
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    holds(text)
    holds(f"version: 1\ndomain: {text}\n")
    holds(f"version: 1\ndomain: d\nlimits: {{a: {{key: {text!r}, limit: 1, window: 1s}}}}\n")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=12,
)


@settings(RELAXED, max_examples=30)
@given(VALUES)
def test_any_value_in_any_place(value: object) -> None:
    text = json.dumps(value)
    for place in ("client", "lists", "limits", "scan", "tests", "privacy", "mode", "version"):
        holds(f"version: 1\ndomain: d\n{place}: {text}\n")
    holds(f"version: 1\ndomain: d\nlimits: {{a: {text}, b: {{match: {text}, key: {text}, overrides: {text}}}}}\n")


@RELAXED
@given(st.integers(0, 400 * 86_400_000))
def test_a_duration_is_read_as_it_is_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@RELAXED
@given(st.text(alphabet="0123456789+-.eExXoOabcdefnNiIlLuU~", max_size=12))
def test_a_scalar_is_always_read(text: str) -> None:
    scalar_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "a: &a [" + "*a, " * 50_000,
        "? " * 50_000,
        "a: " * 50_000,
        "'" + "x" * 1_000_000,
        "&a " * 50_000,
        "version: " + "9" * 100_000,
        "!" * 100_000,
        "a: |\n" + "  x\n" * 100_000,
        "limits: {" + ", ".join(f"l{i}: *l{i}" for i in range(10_000)),
        "x" * 100_000 + ": 1",
    ],
    ids=lambda text: text[:8],
)
def test_a_bomb_costs_little(text: str) -> None:
    started = perf_counter()
    holds(text)
    assert perf_counter() - started < 10
