"""What is told of a scan is what it does: the trace of a request, held to the verdict and to the slow reading."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratelimitd import trial
from ratelimitd._engine import Engine
from ratelimitd.policy.outcomes import pattern_outcomes
from ratelimitd.policy.plan import Domain, Plan, Rule, Scan, ScanMode, Target, Transformation

from . import oracle
from .rules import rule
from .test_oracle import make_request, make_rule


def engine_of(*rules: Rule) -> Engine:
    return trial.engine(Plan((Domain(b"d", scan=Scan(ScanMode.DETECT, rules=rules)),)))


@pytest.mark.parametrize("seed", range(4))
def test_the_outcomes_are_those_of_the_slow_reading(seed: int) -> None:
    rng = random.Random(seed)
    rules = [make_rule(rng, i) for i in range(12)]
    scan = Scan(rules=tuple(rules))
    engine = engine_of(*rules)
    for _ in range(60):
        request = make_request(rng)
        outcomes = pattern_outcomes(scan, engine.trace(request))
        verdict = engine.check(request | {"explain": True})
        fired = {o.rule: {hit.target for hit in o.hits} for o in outcomes if o.fired}
        assert set(fired) == {match["id"] for match in verdict["matches"]}
        assert sum(o.score for o in outcomes if o.fired) == verdict["score"]
        wanted = oracle.expected(rules, request)
        assert {name: len(where) for name, where in fired.items()} == {
            name.decode(): len(where) for name, where in wanted.items()
        }
        for outcome, one in zip(outcomes, rules, strict=True):
            values = {oracle.transformed(one, v) for t, n, v in oracle.fields(request) if oracle.looks_at(one, t, n)}
            assert {hit.value for hit in outcome.hits} <= values
            assert outcome.fired != bool(outcome.because)


def trace(*rules: Rule, **request: Any) -> list[dict[str, Any]]:
    return [dict(reading) for reading in engine_of(*rules).trace(request) if reading["rules"]]


def test_a_value_is_told_as_it_came_and_as_it_was_searched() -> None:
    found = trace(
        rule("a", b"union", chain=(Transformation.LOWERCASE,)),
        rule("b", b"UNION"),
        rule("c", b"zzz", on="args !args:q"),
        path=b"/?q=UNION",
    )
    assert found == [
        {
            "target": Target.ARGS,
            "name": b"q",
            "value": b"UNION",
            "rules": [0, 1],
            "strings": [
                {"text": b"UNION", "rules": [1], "fired": [1]},
                {"text": b"union", "rules": [0], "fired": [0]},
            ],
        }
    ]


def test_a_string_that_was_seen_before_is_told_again() -> None:
    found = trace(rule("a", b"x"), path=b"/?q=x&r=x&q=")
    assert [(r["name"], [s["fired"] for s in r["strings"]]) for r in found] == [
        (b"q", [[0]]),
        (b"r", [[0]]),
        (b"q", [[]]),
    ]


def test_bodies_are_read_as_a_scan_reads_them() -> None:
    headers = [(b"content-type", b"application/json")]
    found = trace(rule("a", b"x"), method=b"POST", path=b"/", headers=headers, body=b'{"a": {"b": "x"}}')
    assert [(r["name"], r["value"]) for r in found] == [(b"a.b", b"x")]


def test_no_rules_and_no_domain() -> None:
    assert engine_of().trace({"path": "/?a=x"}) == []
    assert engine_of(rule("a", b"x")).trace({"path": "/?a=x", "domain": "nobody"}) == []
