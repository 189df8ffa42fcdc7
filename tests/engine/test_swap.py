"""Swapping policies: what keeps its counters, what is told, what is freed."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Condition, Match, Op, Plan, Rate, Rule, ScanMode, Source, Target, TargetRef

from .plans import START, limit, plan, request, scan


def test_counters_live_through_edits_of_the_number() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("per-ip", 5)))
    for _ in range(4):
        target.check(request(), now_ns=START)
    report = target.swap(plan(limit("per-ip", 6), limit("new", 9)))
    assert (report["kept"], report["added"], report["removed"]) == (["shop/per-ip"], ["shop/new"], [])
    answer = target.check(request(), now_ns=START)
    assert [state["remaining"] for state in answer["limits"]] == [1, 8]


def test_what_is_prepared_is_not_in_force_before_it_is_published() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("per-ip", 5)))
    prepared = target.prepare(plan(limit("per-ip", 9)))
    assert target.check(request(), now_ns=START)["limits"][0]["limit"] == 5
    assert target.publish(prepared)["generation"] == 2
    assert target.check(request(), now_ns=START)["limits"][0]["limit"] == 9


def test_policies_are_published_in_any_order() -> None:
    """Compared with the one in force then, whichever was in force when they were prepared."""
    target = Engine(max_keys=100)
    one, two = target.prepare(plan(limit("one", 5))), target.prepare(plan(limit("two", 5)))
    assert target.publish(two)["added"] == ["shop/two"]
    report = target.publish(one)
    assert (report["generation"], report["added"], report["removed"]) == (2, ["shop/one"], ["shop/two"])


def test_only_its_own_engine_publishes_a_policy_and_only_once() -> None:
    target, other = Engine(max_keys=100), Engine(max_keys=100)
    prepared = target.prepare(plan(limit("per-ip", 5)))
    with pytest.raises(EngineError, match="another engine"):
        other.publish(prepared)
    target.publish(prepared)
    with pytest.raises(EngineError, match="published already"):
        target.publish(prepared)
    assert target.stats()["generation"] == 1


def test_a_limit_that_comes_back_finds_its_counters() -> None:
    target = Engine(max_keys=100)
    both = plan(limit("per-ip", 5), limit("other", 5))
    target.swap(both)
    target.check(request(), now_ns=START)
    assert target.swap(plan(limit("other", 5)))["removed"] == ["shop/per-ip"]
    target.swap(both)
    assert target.check(request(), now_ns=START)["limits"][0]["remaining"] == 3


def test_unchanged_rules_are_not_compiled_again() -> None:
    target = Engine(max_keys=100)
    rules = tuple(Rule(b"r%d" % n, (b"attack%d[a-z]+x" % n,), (TargetRef(Target.ARGS),), score=5) for n in range(50))
    first = target.swap(plan(scan=scan(ScanMode.BLOCK, *rules)))
    again = target.swap(plan(limit("new", 5), scan=scan(ScanMode.BLOCK, *rules)))
    assert again["databases"] == first["databases"] > 0
    assert again["compile_ms"] < first["compile_ms"]
    assert target.check(request(path="/?a=attack7zzx"), now_ns=START)["reason"] == "scan"


def test_old_snapshots_are_freed() -> None:
    target = Engine(max_keys=100)

    class Marked(Rate):
        __slots__ = ("__weakref__",)

    rate = Marked(5, 60_000)
    gone = weakref.ref(rate)
    target.swap(plan(limit("per-ip", rate=rate)))
    del rate
    target.swap(plan(limit("per-ip")))
    gc.collect()
    assert gone() is None


def test_generations_count_up() -> None:
    target = Engine(max_keys=100)
    assert [target.swap(plan())["generation"] for _ in range(3)] == [1, 2, 3]
    assert target.stats()["generation"] == 3


def test_the_dump_can_be_read() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("per-ip", 5), scan=scan(ScanMode.DETECT)))
    text = target.dump()
    assert "limit per-ip: 5 in 60000 ms" in text
    assert "scan detect" in text


def test_a_compile_holds_nobody_up() -> None:
    """While a policy compiles, checks are decided and counters are read."""
    target = Engine(max_keys=100)
    target.swap(plan(limit("per-ip", 5)))
    heavy = tuple(
        Rule(b"h%d" % n, (b"(a|b)%d[^x]{1,40}(c|d)+y.{0,9}z" % n,), (TargetRef(Target.ARGS),), score=5)
        for n in range(40)
    )
    swap = threading.Thread(target=target.swap, args=(plan(scan=scan(ScanMode.BLOCK, *heavy)),))
    swap.start()
    served = 0
    while swap.is_alive():
        target.stats()
        target.events()
        target.check(request(), now_ns=START)
        served += 1
    swap.join()
    assert served > 3


def test_an_edit_compiles_no_regex_again() -> None:
    """Compared with itself: what is compiled is a hundred times slower than what is found."""
    target = Engine(max_keys=100)

    def policy(most: int) -> Plan:
        patterns = (b"/v[0-9]+/%d/[a-z]+/x.*" % n for n in range(100))
        matches = [Match(((Condition(Source.PATH, Op.REGEX, operands=(pattern,)),),)) for pattern in patterns]
        return plan(*(limit(f"l{n}", most, match=match) for n, match in enumerate(matches)))

    first, again = target.swap(policy(5)), target.swap(policy(6))
    assert len(again["kept"]) == 100
    assert again["compile_ms"] < first["compile_ms"] / 4
