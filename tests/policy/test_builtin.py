"""The built-in rules find what they must and leave alone what they must."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import hyperscan
import pytest
from ruamel.yaml import YAML

from ratelimitd.policy.builtin import builtin_rules
from ratelimitd.policy.compile import compile_rule
from ratelimitd.policy.patterns import pattern_error
from ratelimitd.policy.plan import Rule

from .transforms import transformed

CASES: dict[int, dict[str, list[str]]] = YAML(typ="safe", pure=True).load(
    (Path(__file__).parent / "builtin_cases.yaml").read_text(encoding="utf-8")
)
RULES = {spec.id: compile_rule(spec) for spec in builtin_rules()}


@cache
def database_of(rule: Rule) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
    flags |= hyperscan.HS_FLAG_CASELESS if rule.ignore_case else 0
    database.compile(expressions=list(rule.patterns), flags=[flags] * len(rule.patterns))
    return database


def fires(rule: Rule, value: str) -> bool:
    hits: list[int] = []

    def on_match(number: int, *_: Any) -> None:
        hits.append(number)

    database_of(rule).scan(transformed(value.encode(), rule.transformations), match_event_handler=on_match)
    return bool(hits)


def test_every_rule_has_a_hit_and_a_miss() -> None:
    assert sorted(RULES) == sorted(str(number) for number in CASES)
    assert all(case["hits"] and case["misses"] for case in CASES.values())
    assert 20 <= len(RULES) <= 40


@pytest.mark.parametrize("number", sorted(RULES))
def test_patterns_compile(number: str) -> None:
    assert [pattern_error(pattern.decode()) for pattern in RULES[number].patterns] == [""] * len(RULES[number].patterns)


@pytest.mark.parametrize("number", sorted(RULES))
def test_a_rule_finds_and_leaves_alone(number: str) -> None:
    case = CASES[int(number)]
    assert [value for value in case["hits"] if not fires(RULES[number], value)] == []
    assert [value for value in case["misses"] if fires(RULES[number], value)] == []


def test_harmless_requests_pass_every_rule() -> None:
    values = [value for case in CASES.values() for value in case["misses"]]
    assert [(number, value) for number, rule in RULES.items() for value in values if fires(rule, value)] == []
