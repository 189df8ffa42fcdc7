"""Limits without their store: what the verdict says."""

from __future__ import annotations

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Consistency, StoreLoss

from .plans import START, limit, plan, request

LOST, FOUND = b"\1" * 128, bytes(128)


def engine(*limits: object, nodes: int = 3) -> Engine:
    out = Engine(max_keys=1000)
    out.sync_start(1)
    out.swap(plan(*limits))
    out.sync_lost(LOST, nodes)
    return out


def test_a_limit_that_must_not_be_decided_denies_with_503() -> None:
    target = engine(limit("login", 5, on_store_loss=StoreLoss.DENY))
    answer = target.check(request(), now_ns=START)
    assert (answer["decision"], answer["reason"], answer["status"]) == ("deny", "store_lost", 503)
    assert (answer["decided_by"], answer["retry_after"]) == ("login", 1)
    (row,) = [row for row in target.stats()["decisions"] if row["reason"] == "store_lost"]
    assert (row["limit"], row["decision"], row["count"]) == ("login", "deny", 1)
    target.sync_lost(FOUND, 3)
    assert target.check(request(), now_ns=START)["decision"] == "allow"


def test_a_limit_that_is_over_has_its_say_first() -> None:
    target = engine(limit("login", 5, on_store_loss=StoreLoss.DENY), limit("ban", 0))
    answer = target.check(request(), now_ns=START)
    assert (answer["reason"], answer["decided_by"], answer["status"]) == ("over_limit", "ban", 429)


def test_each_limit_has_its_own_way() -> None:
    for on_loss, admitted in ((StoreLoss.LOCAL, 9), (StoreLoss.SHARE, 3), (StoreLoss.ALLOW, 20)):
        target = engine(limit("per-ip", 9, on_store_loss=on_loss))
        assert sum(target.check(request(), now_ns=START)["decision"] == "allow" for _ in range(20)) == admitted
    alone = engine(limit("per-ip", 9, on_store_loss=StoreLoss.DENY, consistency=Consistency.LOCAL))
    assert alone.check(request(), now_ns=START)["decision"] == "allow"


def test_without_a_store_nothing_is_lost() -> None:
    target = Engine(max_keys=1000)
    target.swap(plan(limit("per-ip", 5, on_store_loss=StoreLoss.DENY)))
    assert target.check(request(), now_ns=START)["decision"] == "allow"


def test_another_hash_key_finds_nothing_of_before() -> None:
    target = Engine(max_keys=1000, hash_key=bytes(16))
    target.swap(plan(limit("per-ip", 5)))
    target.check(request(), now_ns=START)
    assert target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START) is not None
    target.rekey(bytes(range(16)))
    assert target.hash_key == bytes(range(16))
    assert target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START) is None
    target.check(request(), now_ns=START)
    target.rekey(bytes(16))
    assert target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START) is not None
    with pytest.raises(EngineError):
        target.rekey(b"short")


def test_who_counts_all_heeds_it_too() -> None:
    """consume: always charges what it denies, and while the store is lost each limit has its way."""
    for on_loss, admitted in ((StoreLoss.LOCAL, 9), (StoreLoss.SHARE, 3), (StoreLoss.ALLOW, 20), (StoreLoss.DENY, 0)):
        target = Engine(max_keys=1000)
        target.sync_start(1)
        target.swap(plan(limit("per-ip", 9, on_store_loss=on_loss), all_or_none=False, always=True))
        target.sync_lost(LOST, 3)
        answers = [target.check(request(), now_ns=START) for _ in range(20)]
        assert sum(answer["decision"] == "allow" for answer in answers) == admitted
        assert target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START)["used"] == 20
        lost = {"store_lost"} if on_loss == StoreLoss.DENY else {"over_limit"}
        assert {answer["reason"] for answer in answers if answer["decision"] == "deny"} <= lost
