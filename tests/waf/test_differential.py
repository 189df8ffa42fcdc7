"""Ours and libmodsecurity log the same rules for mutated traffic, or the difference is listed with its reason.

RATELIMITD_MUTANTS sets how many (default 1,500) and RATELIMITD_MUTANTS_SEED which.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from . import engines
from .benign.corpus import corpus
from .crs.ruleset import SUITE, sources
from .crs.stages import load
from .differential import differences, listed, summary
from .message import Engine, Request, Response
from .mutate import Mutant, mutants
from .shared import crs_v4

# libmodsecurity fills REQUEST_BODY whatever the body is read as; ModSecurity's manual and the suite say that it is not
# there where the parts of a form or XML are (`raw_body` in ext/waf/body.pyx). Held to that, it can be compared.
AS_DOCUMENTED = r"""
SecRule REQBODY_PROCESSOR "@rx ^(?:XML|MULTIPART)$" \
    "id:900006,phase:1,t:none,pass,nolog,ctl:ruleRemoveTargetByTag=OWASP_CRS;REQUEST_BODY"
"""

COUNT = int(os.environ.get("RATELIMITD_MUTANTS", 1_500))
SEED = int(os.environ.get("RATELIMITD_MUTANTS_SEED", 20_240_503))


def seeds() -> list[tuple[str, Request]]:
    stages = [
        (s.name, s.request) for s in load(crs_v4() / "tests") if s.kind == "request" and len(s.request.body) < 8000
    ]
    return stages + [(benign.name, benign.request) for benign in corpus()]


@pytest.fixture(scope="module")
def rules() -> list:
    return sources(crs_v4(), SUITE)


def pair(rules: list) -> tuple[Engine, Engine]:
    return engines.ours(rules), engines.oracle([*rules, AS_DOCUMENTED])


def test_mutants(rules: list) -> None:
    ours, oracle = pair(rules)
    found = differences(ours, oracle, mutants(SEED, COUNT, seeds()), listed())
    assert not found, summary(found)


def test_benign(rules: list) -> None:
    """What nobody wrote to attack is where a false positive of ours alone would show."""
    ours, oracle = pair(rules)
    traffic = (Mutant(benign.name, benign.request) for benign in corpus())
    found = differences(ours, oracle, traffic, listed())
    assert not found, summary(found)


def test_mutants_are_the_same_again() -> None:
    once, again = (list(mutants(1, 200, seeds())) for _ in range(2))
    assert once == again
    assert once != list(mutants(2, 200, seeds()))


def test_mutants_reach_many_rules(rules: list) -> None:
    """A mutation run is worth its time: it fires rules of every family, and leaves many requests clean."""
    oracle = engines.oracle(rules)
    fired = [oracle(mutant.request) for mutant in mutants(SEED, 500, seeds())]
    counts = Counter(rule for ids in fired for rule in ids)
    assert len(counts) > 150
    assert {rule // 1000 for rule in counts} >= {920, 921, 922, 930, 931, 932, 933, 934, 941, 942, 944}
    assert sum(949110 not in ids for ids in fired) > 25


def test_a_difference_is_found_and_excused() -> None:
    """By a pair of engines that disagree on one rule: it is reported, unless listed for such a request and side."""
    request = Request("POST", b"/", (), b"\xff")

    def one(request: Request, response: Response | None = None) -> frozenset[int]:
        return frozenset([1, 2])

    def other(request: Request, response: Response | None = None) -> frozenset[int]:
        return frozenset([2, 3])

    traffic = [Mutant("m", request)]
    (found,) = differences(one, other, traffic, [])
    assert (found.ours, found.oracle) == ({1}, {3})
    entries = [
        {"rules": [1], "when": "invalid_utf8", "side": "ours", "reason": "r"},
        {"rules": "any", "when": "empty_boundary", "side": "either", "reason": "r"},
        {"rules": [3], "when": "always", "side": "ours", "reason": "r"},
    ]
    (found,) = differences(one, other, traffic, listed(entries))
    assert (found.ours, found.oracle) == (set(), {3})


def test_the_list_is_sound() -> None:
    listed()
