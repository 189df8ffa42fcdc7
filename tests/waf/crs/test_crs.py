"""The Core Rule Set's own suite passes."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from .. import engines
from ..shared import crs_v4
from .judge import complaints, left, rate, run
from .ruleset import SUITE, sources
from .stages import load

AT_LEAST = 99.5  # percent of the stages that a Check can express


def judged(*kinds: str) -> list:
    return [stage for stage in load(crs_v4() / "tests") if stage.kind in kinds]


def test_requests() -> None:
    """What a Check can express passes, but for what is listed; the list holds nothing that passes."""
    outcomes = run(engines.ours(sources(crs_v4(), SUITE)), judged("request"))
    assert not complaints(outcomes, left("left.yaml"))
    assert rate(outcomes) >= AT_LEAST


@pytest.mark.parametrize("kind", ["response", "log"])
def test_the_rest(kind: str) -> None:
    """So does what looks at an answer, and what looks for a text in the log (by the rule that writes it)."""
    outcomes = run(engines.ours(sources(crs_v4(), SUITE)), judged(kind))
    assert not complaints(outcomes, left("left.yaml"))


def test_every_listed_stage_exists() -> None:
    names = {stage.name for stage in load(crs_v4() / "tests")}
    assert len(names) == len(load(crs_v4() / "tests"))
    for file in ("left.yaml", "oracle_left.yaml"):
        assert not left(file).keys() - names, file


def test_the_harness_reads_the_suite() -> None:
    """Most stages are of the kind that a Check can express; every one says what it expects."""
    stages = load(crs_v4() / "tests")
    kinds = Counter(stage.kind for stage in stages)
    assert kinds["request"] > 0.95 * len(stages)
    assert kinds["response"] > 50
    assert all(bool(stage.expected or stage.unexpected) != (stage.kind == "status") for stage in stages)


def test_libmodsecurity_passes() -> None:
    """The engine that the suite is written for passes, but for what is known of it: so the harness is sound."""
    every = 1 if os.environ.get("RATELIMITD_ORACLE_ALL") else 3  # it takes its time: 11 s of CPU for all
    outcomes = run(engines.oracle(sources(crs_v4(), SUITE)), judged("request", "response", "log")[::every])
    assert not complaints(outcomes, left("oracle_left.yaml"))
    assert rate(outcomes) > 99
