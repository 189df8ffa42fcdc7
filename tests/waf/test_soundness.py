"""No shortcut of the rule engine hides, adds or repeats a match: against the same engine without shortcuts.

RATELIMITD_SOUNDNESS multiplies how many requests and programs (default 1), RATELIMITD_SOUNDNESS_SEED says which.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Link, Operator, Program, Selector, Variable
from ratelimitd.waf.transformation import Transformation

from . import engines, programs
from .benign.corpus import corpus
from .crs.ruleset import SUITE, paranoia, sources
from .engines import configuration
from .message import Request, headers
from .mutate import Mutant, mutants
from .shared import crs_v4
from .soundness import Pair
from .test_differential import seeds

TIMES = int(os.environ.get("RATELIMITD_SOUNDNESS", 1))
SEED = int(os.environ.get("RATELIMITD_SOUNDNESS_SEED", 20_240_611))


@pytest.mark.parametrize("every_reading", [False, True], ids=["one reading", "every reading"])
@pytest.mark.parametrize("setup", [paranoia(1), SUITE], ids=["level 1", "level 4"])
def test_the_core_rule_set(setup: str, every_reading: bool) -> None:
    program = compile_rules(configuration(sources(crs_v4(), setup)))
    pair = Pair(replace(program, every_reading=every_reading))
    assert len(pair.direct.direct()) > 2 * len(pair.scanning.direct()), "the rules are scanned for, or else not"
    found, matches = pair.differences(mutants(SEED, 400 * TIMES, seeds()))
    assert not found, "\n".join(map(str, found[:10]))
    assert matches > 400
    found, _ = pair.differences(Mutant(benign.name, benign.request) for benign in corpus())
    assert not found, "\n".join(map(str, found[:10]))


@pytest.mark.parametrize("seed", range(SEED, SEED + 8 * TIMES))
def test_generated_programs(seed: int) -> None:
    pair = Pair(programs.program(seed))
    found, matches = pair.differences(mutants(seed, 60, seeds()))
    assert not found, "\n".join(map(str, found[:5]))
    assert matches > 50


ARGUMENTS = Request("GET", b"/?a=x&b=X%20&c=x", headers([("Host", "a")]))


def links(*selectors: Selector, **more: object) -> Program:
    return Program((Link(1, 2, selectors, Operator.RX, argument=(b"(?i)x",), **more),))  # type: ignore[arg-type]


CASES = {
    "steps that change nothing are no matches of their own": (
        links(
            Selector(Variable.ARGS),
            transformations=(Transformation.LOWERCASE, Transformation.TRIM, Transformation.LOWERCASE),
            multi_match=True,
        ),
        5,
    ),
    "steps that go back to where they came from are": (
        links(
            Selector(Variable.ARGS),
            transformations=(Transformation.UPPERCASE, Transformation.LOWERCASE),
            multi_match=True,
        ),
        8,
    ),
    "a field that two selectors hold matches twice": (links(Selector(Variable.ARGS), Selector(Variable.ARGS_GET)), 6),
    "an exclusion is of its variable": (
        links(Selector(Variable.ARGS), Selector(Variable.ARGS_GET), Selector(Variable.ARGS, b"a", exclude=True)),
        5,
    ),
    "the last match is the last selector's": (links(Selector(Variable.ARGS_GET, b"b"), Selector(Variable.ARGS_GET)), 4),
}


@pytest.mark.parametrize("name", CASES)
def test_matches_are_counted_as_the_language_counts_them(name: str) -> None:
    program, count = CASES[name]
    found, matches = Pair(program).differences([Mutant(name, ARGUMENTS)])
    assert not found, str(found[0])
    assert matches == count


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ('SecRule ARGS "@rx (?i)x" "id:1,phase:2,pass,multiMatch,t:lowercase,t:trim,t:lowercase,setvar:tx.n=+1"', 5),
        ('SecRule ARGS "@rx (?i)x" "id:1,phase:2,pass,multiMatch,t:uppercase,t:lowercase,setvar:tx.n=+1"', 8),
        ('SecRule ARGS|ARGS_GET "@rx (?i)x" "id:1,phase:2,pass,setvar:tx.n=+1"', 6),
        ('SecRule ARGS|ARGS_GET|!ARGS:a "@rx (?i)x" "id:1,phase:2,pass,setvar:tx.n=+1"', 5),
    ],
)
def test_libmodsecurity_counts_so_too(rule: str, count: int) -> None:
    rules = ["SecRuleEngine DetectionOnly", f'{rule}\nSecRule TX:n "@eq {count}" "id:2,phase:2,pass"']
    assert engines.ours(rules)(ARGUMENTS) == {1, 2}
    assert engines.oracle(rules)(ARGUMENTS) == {1, 2}
