"""Limits by score: what a scan finds is what they count."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.policy.plan import Algorithm, Limit, ListAction, Rate, Scan, ScanMode
from tests.model import window

from .plans import SECOND, START, address_list, limit, plan, request
from .test_scan import profile, program

# Each word in an argument scores its own: together any score up to 31.
SCORES = [1, 2, 4, 8, 16]
RULES = program(
    "\n".join(f'SecRule ARGS "@contains s{n}." "id:{n},phase:2,pass,setvar:tx.score=+{n}"' for n in SCORES)
    + '\nSecRule TX:score "@ge 16" "id:949,phase:2,deny"'
)


def asked(score: int, **changes: Any) -> dict[str, Any]:
    words = "".join(f"s{n}." for n in SCORES if score & n)
    return request(path=f"/?a={words}", **changes)


def engine(*limits: Limit, mode: ScanMode = ScanMode.DETECT, **changes: Any) -> Engine:
    out = Engine(max_keys=1000)
    out.swap(plan(*limits, scan=Scan(mode, profiles=(profile(RULES),)), **changes))
    return out


def penalty(most: int = 20, window_ms: int = 60_000, **changes: Any) -> Limit:
    return limit("penalty", most, window_ms, by_score=True, **changes)


def used(target: Engine) -> int:
    found = target.lookup("shop", "penalty", ["203.0.113.7"], now_ns=START)
    return int(found["used"]) if found else 0


def test_a_score_is_charged_and_at_the_limit_denies() -> None:
    target = engine(penalty(10))
    first = target.check(asked(7), now_ns=START)
    assert (first["decision"], first["score"], first["limits"][0]["remaining"]) == ("allow", 7, 3)
    assert target.check(asked(0), now_ns=START)["limits"][0]["remaining"] == 3
    assert target.check(asked(7), now_ns=START)["limits"][0]["remaining"] == 0
    denied = target.check(asked(0), now_ns=START)
    assert (denied["reason"], denied["decided_by"], denied["retry_after"]) == ("over_limit", "penalty", 60)
    assert target.check(asked(0), now_ns=START + 60 * SECOND)["decision"] == "allow"


def test_what_the_scan_denied_is_charged_too() -> None:
    target = engine(penalty(30), mode=ScanMode.BLOCK)
    assert target.check(asked(16), now_ns=START)["reason"] == "scan"
    assert used(target) == 16
    assert target.check(asked(16), now_ns=START)["reason"] == "scan"
    assert target.check(asked(0), now_ns=START)["reason"] == "over_limit"


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"cost": 0}])
def test_looking_charges_nothing(changes: dict[str, Any]) -> None:
    target = engine(penalty())
    assert target.check(asked(9, **changes), now_ns=START)["score"] == 9
    assert used(target) == 0


def test_the_cost_of_the_limit_multiplies_but_never_beyond_the_limit() -> None:
    target = engine(penalty(100, cost=10))
    target.check(asked(3), now_ns=START)
    assert used(target) == 30
    target.check(asked(31), now_ns=START)
    assert used(target) == 130


def test_a_check_that_another_limit_denies_is_charged_nothing() -> None:
    target = engine(limit("ban", 0), penalty())
    assert target.check(asked(9), now_ns=START)["decided_by"] == "ban"
    assert target.check(asked(9, explain=True), now_ns=START)["score"] == 9
    assert used(target) == 0


def test_at_the_penalty_no_other_limit_is_charged() -> None:
    for all_or_none, left in ((True, 9), (False, 8)):
        target = engine(limit("plain", 10), penalty(1), all_or_none=all_or_none)
        answers = [target.check(asked(1), now_ns=START) for _ in range(2)]
        assert [answer["decision"] for answer in answers] == ["allow", "deny"]
        plain = target.lookup("shop", "plain", ["203.0.113.7"], now_ns=START)
        assert plain is not None
        assert plain["remaining"] == left


def test_a_shadow_penalty_only_watches_and_does_not_pile_up() -> None:
    target = engine(penalty(10, shadow=True, algorithm=Algorithm.TOKEN_BUCKET, rate=Rate(10, 60_000)))
    answers = [target.check(asked(9), now_ns=START) for _ in range(50)]
    assert {answer["decision"] for answer in answers} == {"allow"}
    assert answers[-1]["shadow_denied"]
    assert used(target) == 18


def test_without_a_scan_nothing_is_charged() -> None:
    allow = address_list("office", ListAction.ALLOW, "203.0.113.7/32")
    target = engine(penalty(), lists=(allow,))
    target.check(asked(9), now_ns=START)
    assert used(target) == 0
    assert engine(penalty(), mode=ScanMode.OFF).check(asked(9), now_ns=START)["decision"] == "allow"


KINDS = {
    Algorithm.SLIDING_WINDOW: window.SLIDING,
    Algorithm.FIXED_WINDOW: window.FIXED,
    Algorithm.TOKEN_BUCKET: window.BUCKET,
}


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("mode", [ScanMode.DETECT, ScanMode.BLOCK])
def test_it_decides_as_the_model(algorithm: Algorithm, mode: ScanMode) -> None:
    """Denied when nothing is left; else the score is charged whole, as long as it is no more than the limit."""
    rng = random.Random(int(algorithm))
    most, window_ms, cost = 40, 10_000, 3
    rule = window.Rule(most, window_ms, KINDS[algorithm])
    target = engine(penalty(most, window_ms, algorithm=algorithm, cost=cost), mode=mode)
    now = START // 1_000_000
    counter = window.fresh(rule, now)
    seen = set()
    for _ in range(600):
        now += rng.choice([0, 10, 700, 3000])
        score, dry = rng.choice([0, 0, 1, 3, 5, 16, 31]), rng.random() < 0.1
        answer = target.check(asked(score, dry_run=dry), now_ns=now * 1_000_000)
        if window.peek(rule, counter, now, 1).over:
            assert answer["reason"] == "over_limit"
        else:
            assert answer["reason"] == ("scan" if mode == ScanMode.BLOCK and score >= 16 else "")
            if score and not dry:
                window.charge(rule, counter, now, min(score * cost, most))
            assert answer["limits"][0]["remaining"] == window.peek(rule, counter, now).remaining
        seen.add(answer["reason"])
    assert {"", "over_limit"} <= seen


# ---- what a score costs in an ordinary limit


def left(answer: dict[str, Any], name: str) -> int:
    return int(next(state["remaining"] for state in answer["limits"] if state["name"] == name))


def test_each_point_of_a_score_costs_more() -> None:
    target = engine(limit("plain", 50), limit("dear", 50, score_cost=4))
    answers = [target.check(asked(score), now_ns=START) for score in (0, 5, 0)]
    assert [left(answer, "plain") for answer in answers] == [49, 48, 47]
    assert [left(answer, "dear") for answer in answers] == [49, 28, 27]


def test_the_request_that_scores_passes_and_the_next_is_denied() -> None:
    for all_or_none in (True, False):
        target = engine(limit("dear", 50, score_cost=10), all_or_none=all_or_none)
        assert target.check(asked(31), now_ns=START)["decision"] == "allow"
        denied = target.check(asked(31), now_ns=START)
        assert (denied["decision"], denied["decided_by"]) == ("deny", "dear")
        found = target.lookup("shop", "dear", ["203.0.113.7"], now_ns=START)
        assert found is not None
        assert found["used"] == 51, "at most the limit at once, and nothing for who is denied"


def test_what_the_scan_blocks_costs_too() -> None:
    target = engine(limit("dear", 100, score_cost=2), mode=ScanMode.BLOCK)
    assert target.check(asked(16), now_ns=START)["reason"] == "scan"
    assert left(target.check(asked(0), now_ns=START), "dear") == 100 - 1 - 32 - 1


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"cost": 0}])
def test_who_only_looks_is_not_charged_for_the_score(changes: dict[str, Any]) -> None:
    target = engine(limit("dear", 50, score_cost=4))
    assert target.check(asked(9, **changes), now_ns=START)["score"] == 9
    assert left(target.check(asked(0), now_ns=START), "dear") == 49


def test_limits_of_both_kinds_are_charged_by_one_score() -> None:
    unlimited = limit("open", rate=Rate(50, 60_000, unlimited=True), score_cost=4)
    target = engine(unlimited, penalty(20), limit("dear", 50, score_cost=1), limit("plain", 50))
    answer = target.check(asked(7), now_ns=START)
    assert [left(answer, name) for name in ("penalty", "dear", "plain")] == [13, 42, 49]
