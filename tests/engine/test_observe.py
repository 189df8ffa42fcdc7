"""What the engine tells: events, counters, look-ups."""

from __future__ import annotations

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Rule, ScanMode, Target, TargetRef

from .plans import CLIENT, SECOND, START, KeyPart, ListAction, Source, address_list, limit, path, plan, request, scan


def test_every_denial_is_an_event_until_the_cap() -> None:
    target = Engine(max_keys=100, sample=0, denials_per_second=3)
    target.swap(plan(limit("ban", 0)))
    for _ in range(10):
        target.check(request(), now_ns=START)
    target.check(request(), now_ns=START + SECOND)
    events = target.events()
    assert [event["weight"] for event in events] == [1, 1, 1, 8]
    assert sum(event["weight"] for event in events) == 11
    first = events[0]
    assert (first["decision"], first["reason"], first["limit"]) == ("deny", "over_limit", "ban")
    assert (first["key"], first["client"], first["path"]) == ("203.0.113.7", "203.0.113.7", "/a?x=1")
    assert len(first["reference"]) == 16
    assert target.events() == []


def test_allows_are_sampled() -> None:
    target = Engine(max_keys=100, sample=10)
    target.swap(plan(limit("per-ip", 1000)))
    for _ in range(100):
        target.check(request(), now_ns=START)
    assert [event["weight"] for event in target.events()] == [1] + [10] * 9


def test_an_allow_names_the_limit_that_would_have_denied() -> None:
    target = Engine(max_keys=100, sample=1)
    target.swap(plan(limit("enforced", 9), limit("watched", 1, shadow=True)))
    for _ in range(2):
        target.check(request(), now_ns=START)
    told = [(event["decision"], event["limit"], event["key"], event["shadow"]) for event in target.events()]
    assert told == [("allow", "enforced", "203.0.113.7", False), ("allow", "watched", "203.0.113.7", True)]


def told(target: Engine) -> list[tuple[str, str, str, str, bool]]:
    return [
        (event["decision"], event["decider"], event["limit"], event["key"], event["shadow"])
        for event in target.events()
    ]


def test_lists_in_the_shadow_are_told_though_allows_are_not() -> None:
    target = Engine(max_keys=100, sample=0)
    watched = address_list("bad", ListAction.DENY, "203.0.113.0/24", shadow=True)
    office = address_list("office", ListAction.ALLOW, "203.0.113.8/32")
    target.swap(plan(limit("per-ip", 1000), lists=(watched, office)))
    for address in ("203.0.113.7", "203.0.113.8", "198.51.100.1"):
        target.check(request(source_address=address), now_ns=START)
    assert told(target) == [("allow", "list", "bad", "", True)] * 2


def test_scans_are_told_by_rule_enforced_or_not() -> None:
    rule = Rule(b"sqli", (rb"union", rb"select"), (TargetRef(Target.ARGS),), score=5)
    target = Engine(max_keys=100, sample=0)
    for mode in (ScanMode.DETECT, ScanMode.BLOCK):
        target.swap(plan(limit("per-ip", 1000), scan=scan(mode, rule, deny_partial_body=True)))
        target.check(request(path="/?a=union"), now_ns=START)
        target.check(request(body=b"a=1", partial_body=True), now_ns=START)
    assert told(target) == [
        ("allow", "rule", "threshold", "", True),
        ("allow", "partial_body", "", "", True),
        ("deny", "rule", "threshold", "", False),
        ("deny", "partial_body", "", "", False),
    ]


def test_an_earlier_checks_list_is_not_told_again() -> None:
    """Nor may its name be read: the policy that held it may be gone."""
    target = Engine(max_keys=100, sample=0)
    watched = address_list("bad", ListAction.DENY, "203.0.113.0/24", shadow=True)
    target.swap(plan(lists=(watched,)))
    target.check(request(), now_ns=START)
    target.swap(plan(limit("watched", 0, shadow=True)))
    target.check(request(), now_ns=START)
    assert [row[1:3] for row in told(target)] == [("list", "bad"), ("limit", "watched")]


def test_denials_in_the_shadow_are_capped_apart_from_denials() -> None:
    target = Engine(max_keys=100, sample=0, denials_per_second=3)
    target.swap(plan(limit("ban", 0, match=path("/ban")), limit("watched", 0, shadow=True)))
    for _ in range(10):
        target.check(request(), now_ns=START)
        target.check(request(path="/ban"), now_ns=START)
    for address in ("/", "/ban"):
        target.check(request(path=address), now_ns=START + SECOND)
    events = target.events()
    for decision in ("allow", "deny"):
        assert [event["weight"] for event in events if event["decision"] == decision] == [1, 1, 1, 8]


def test_without_denials_in_the_log_those_in_the_shadow_are_sampled_like_any_allow() -> None:
    target = Engine(max_keys=100, sample=10, denials_per_second=0)
    target.swap(plan(limit("watched", 0, shadow=True)))
    for _ in range(100):
        target.check(request(), now_ns=START)
    assert [event["weight"] for event in target.events()] == [1] + [10] * 9


def test_private_keys_are_hashed_alike() -> None:
    target = Engine(max_keys=100, sample=0, hash_key=b"0123456789abcdef")
    target.swap(plan(limit("ban", 0), log_keys="hash"))
    for address in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
        target.check(request(source_address=address), now_ns=START)
    events = target.events()
    keys = [event["key"] for event in events]
    assert keys[0] == keys[1] != keys[2]
    assert "203.0.113" not in "".join(keys)
    assert {event["path"] for event in events} == {"/a"}


def test_a_full_ring_loses_events_and_says_so() -> None:
    target = Engine(max_keys=100, sample=0, denials_per_second=10_000)
    target.swap(plan(limit("ban", 0)))
    for _ in range(5000):
        target.check(request(), now_ns=START)
    assert len(target.events(limit=10_000)) == 2048
    assert target.stats()["ring"]["lost"] == 5000 - 2048


def test_decisions_are_counted_by_reason_and_limit() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("per-ip", 2)))
    for _ in range(5):
        target.check(request(), now_ns=START)
    decisions = {(d["limit"], d["decision"], d["reason"]): d["count"] for d in target.stats()["decisions"]}
    assert decisions == {("", "allow", ""): 2, ("per-ip", "deny", "over_limit"): 3}


def test_look_up_and_reset() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("pair", 5, key=(CLIENT, KeyPart(Source.METHOD)))))
    key = ["203.0.113.7", "GET"]
    assert target.lookup("shop", "pair", key, now_ns=START) is None
    for _ in range(2):
        target.check(request(), now_ns=START)
    found = target.lookup("shop", "pair", key, now_ns=START)
    assert found is not None
    assert (found["used"], found["remaining"], found["limit"]) == (2, 3, 5)
    assert target.lookup("", "pair", key, now_ns=START) == found
    assert target.reset("shop", "pair", key)
    assert not target.reset("shop", "pair", key)
    assert target.check(request(), now_ns=START)["limits"][0]["remaining"] == 4
    assert target.lookup("shop", "nobody", key) is None
    with pytest.raises(EngineError, match="2 parts"):
        target.lookup("shop", "pair", ["203.0.113.7"])


def test_an_evicted_key_is_looked_up_as_an_estimate_and_reset() -> None:
    target = Engine(max_keys=14)
    target.swap(plan(limit("per-ip", 100)))
    for _ in range(7):
        target.check(request(), now_ns=START)
    found = target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START)
    assert found is not None
    assert (found["used"], found["estimated"]) == (7, False)
    for number in range(100):
        target.check(request(source_address=f"10.0.0.{number}"), now_ns=START + SECOND)
    found = target.lookup("shop", "per-ip", ["203.0.113.7"], now_ns=START + SECOND)
    assert found is not None
    assert found["estimated"]
    assert 7 <= found["used"] == 100 - found["remaining"]
    assert target.reset("shop", "per-ip", ["203.0.113.7"], now_ns=START + SECOND)
    assert target.check(request(cost=100), now_ns=START + SECOND)["decision"] == "allow"


def test_the_table_never_holds_more_than_max_keys() -> None:
    target = Engine(max_keys=50)
    target.swap(plan(limit("per-ip", 5)))
    for number in range(1000):
        target.check(request(source_address=f"10.0.{number // 250}.{number % 250}"), now_ns=START)
    table = target.stats()["table"]
    assert table["keys"] <= table["max_keys"] == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers"),
        ({"max_keys": 0}, "max_keys"),
        ({"hash_key": b"short"}, "hash_key"),
        ({"server": {"max_conections": 5}}, "max_conections"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Engine(**settings)  # type: ignore[arg-type]


def test_busy_servers_sample_less() -> None:
    """After a second of heavy traffic about allows_per_second are logged, and their weights still add up."""
    target = Engine(max_keys=100, sample=10, allows_per_second=20)
    target.swap(plan(limit("per-ip", 1_000_000)))
    counts = []
    for second in range(4):
        for _ in range(2000):
            target.check(request(), now_ns=START + second * SECOND)
        counts.append([event["weight"] for event in target.events()])
    assert len(counts[0]) == 200
    assert all(18 <= len(weights) <= 22 for weights in counts[1:])
    assert all(1800 <= sum(weights) <= 2200 for weights in counts[2:])
