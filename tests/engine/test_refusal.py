"""A plan with patterns that do not compile: each is told, wherever it stands."""

from __future__ import annotations

import re

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.checks import conditions, rules
from ratelimitd.policy.pipeline import load_text
from ratelimitd.policy.refusal import refusal

TEXT = """version: 1
domain: shop
limits:
  a: {match: {path: {regex: ["a(", /fine, "b("]}, header.x: {regex: "c("}}, key: client.ip, limit: 1, window: 1m}
  b: {match: {path: {regex: "d(", ignore_case: true}}, key: client.ip, limit: 1, window: 1m}
lists:
  l: {deny: [192.0.2.0/24], match: {path: {not: {regex: "e("}}}}
scan:
  mode: block
  routes: [{match: {method: {regex: "f("}}, mode: off}]
  rules:
    - {id: one, patterns: ["g(", fine, "h["], targets: args}
    - {id: two, pattern: "g(", targets: [headers, path], transformations: lowercase}
    - {id: three, pattern: "*", targets: "cookies:g("}
"""


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Hyperscan's binding for Python is missing: the engine is the first to complain."""
    monkeypatch.setattr(rules, "pattern_error", lambda *_: "")
    monkeypatch.setattr(conditions, "whole_value_error", lambda *_: "")


def refused(text: str) -> tuple[list[str], EngineError]:
    policy = load_text(text)
    with pytest.raises(EngineError) as caught:
        Engine(max_keys=10).swap(policy.plan)
    told = refusal(policy.sources, caught.value)
    return [f"{d.position.line}:{d.position.column}" if d.position else str(d) for d in told], caught.value


@pytest.mark.usefixtures("unchecked")
def test_every_bad_pattern_is_told_at_its_place() -> None:
    places, error = refused(TEXT)
    quoted = [
        f"{number}:{found.start() + 1}"
        for number, line in enumerate(TEXT.splitlines(), 1)
        for found in re.finditer(r'"(?:[a-h][(\[]|\*)"', line)
    ]
    assert len(quoted) == 10
    assert sorted(places) == sorted(quoted)
    assert {bad.domain for bad in error.patterns} == {b"shop"}
    assert all(bad.message for bad in error.patterns)


@pytest.mark.usefixtures("unchecked")
def test_a_bad_pattern_shows_its_line() -> None:
    policy = load_text(TEXT)
    with pytest.raises(EngineError) as caught:
        Engine(max_keys=10).swap(policy.plan)
    found = {d.position.line: d for d in refusal(policy.sources, caught.value) if d.position}
    assert found[13].code == "P305"
    assert found[13].excerpt == TEXT.splitlines()[12]
    assert "parenthesis" in found[13].message


def test_a_refusal_without_patterns_is_told_as_it_is() -> None:
    (told,) = refusal((), EngineError("out of memory"))
    assert (told.code, told.position) == ("E001", None)
    assert "out of memory" in told.message


@pytest.mark.usefixtures("unchecked")
def test_a_plan_that_was_refused_changes_nothing() -> None:
    engine = Engine(max_keys=10)
    engine.swap(load_text("version: 1\ndomain: shop\nlimits: {a: {key: [], limit: 0, window: 1m}}\n").plan)
    with pytest.raises(EngineError):
        engine.swap(load_text(TEXT).plan)
    assert engine.check({"path": "/"})["decision"] == "deny"
