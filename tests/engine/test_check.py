"""The decision spine, through Engine.check on a fake clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import (
    Algorithm,
    Cidr,
    Domain,
    HeaderFamily,
    KeyPart,
    ListAction,
    Override,
    OverrideKind,
    Plan,
    Rate,
    Rule,
    ScanMode,
    ScanRoute,
    Source,
    Target,
    TargetRef,
    Transformation,
)

from .plans import SECOND, START, address_list, cidr, limit, path, plan, request, scan


def engine(policy: Plan, **settings: Any) -> Engine:
    out = Engine(max_keys=1000, **settings)
    out.swap(policy)
    return out


def decisions(target: Engine, requests: Iterable[dict[str, Any]], now: int = START) -> list[str]:
    return [target.check(one, now_ns=now)["decision"] for one in requests]


def test_the_hit_after_the_limit_is_denied_with_what_a_client_needs() -> None:
    target = engine(plan(limit("per-ip", 3)))
    assert decisions(target, [request()] * 3) == ["allow"] * 3
    answer = target.check(request(), now_ns=START + 15 * SECOND)
    assert (answer["decision"], answer["status"], answer["reason"]) == ("deny", 429, "over_limit")
    assert answer["decided_by"] == "per-ip"
    assert answer["retry_after"] == 45
    assert len(answer["reference"]) == 16
    headers = dict(answer["headers"])
    assert headers["ratelimit-policy"] == '"per-ip";q=3;w=60'
    assert headers["ratelimit"] == '"per-ip";r=0;t=45'
    assert headers["retry-after"] == "45"


def test_remaining_counts_down_on_allow() -> None:
    target = engine(plan(limit("per-ip", 3)))
    seen = [target.check(request(), now_ns=START)["limits"][0]["remaining"] for _ in range(3)]
    assert seen == [2, 1, 0]


def test_keys_are_counted_apart() -> None:
    target = engine(plan(limit("per-ip", 1)))
    asked = [request(), request(source_address="203.0.113.8"), request()]
    assert decisions(target, asked) == ["allow", "allow", "deny"]


def test_ipv6_clients_share_a_64() -> None:
    target = engine(plan(limit("per-ip", 1)))
    asked = [request(source_address=f"2001:db8::{n}") for n in (1, 2)]
    assert decisions(target, [*asked, request(source_address="2001:db8:0:1::1")]) == ["allow", "deny", "allow"]


def test_parts_of_a_key_do_not_run_together() -> None:
    key = (KeyPart(Source.HEADER, b"a"), KeyPart(Source.HEADER, b"b"))
    target = engine(plan(limit("both", 1, key=key)))
    one = request(headers=[("a", "x|y"), ("b", "z")])
    other = request(headers=[("a", "x"), ("b", "y|z")])
    assert decisions(target, [one, other]) == ["allow", "allow"]


def test_long_key_parts_are_told_apart_by_their_ends() -> None:
    target = engine(plan(limit("token", 1, key=(KeyPart(Source.HEADER, b"authorization"),))))
    asked = [request(headers=[("authorization", "x" * 4000 + end)]) for end in "aab"]
    assert decisions(target, asked) == ["allow", "deny", "allow"]


def test_only_limits_that_match_apply() -> None:
    target = engine(plan(limit("login", 1, match=path("/login")), limit("all", 100)))
    answer = target.check(request(path="/x/../%6Cogin?a"), now_ns=START)
    assert [state["name"] for state in answer["limits"]] == ["login", "all"]
    assert [state["name"] for state in target.check(request(), now_ns=START)["limits"]] == ["all"]


def test_a_denied_check_consumes_from_no_limit() -> None:
    target = engine(plan(limit("tight", 1), limit("wide", 10)))
    assert decisions(target, [request()] * 5) == ["allow"] + ["deny"] * 4
    wide = target.lookup("shop", "wide", ["203.0.113.7"], now_ns=START)
    assert wide is not None
    assert wide["remaining"] == 9


def test_consume_each_charges_the_limits_that_fit() -> None:
    target = engine(plan(limit("tight", 1), limit("wide", 10), all_or_none=False))
    assert decisions(target, [request()] * 5) == ["allow"] + ["deny"] * 4
    wide = target.lookup("shop", "wide", ["203.0.113.7"], now_ns=START)
    assert wide is not None
    assert wide["remaining"] == 5


def test_of_two_that_object_the_one_that_takes_longest_decides() -> None:
    target = engine(plan(limit("second", 1, 1000), limit("minute", 1, 60_000)))
    decisions(target, [request()])
    answer = target.check(request(), now_ns=START)
    assert answer["decided_by"] == "minute"
    assert answer["retry_after"] == 60


def test_shadow_limits_count_but_do_not_deny() -> None:
    target = engine(plan(limit("watched", 1, shadow=True)))
    answers = [target.check(request(), now_ns=START) for _ in range(3)]
    assert [a["decision"] for a in answers] == ["allow"] * 3
    assert [a["shadow_denied"] for a in answers] == [False, True, True]
    place = {"domain": "shop", "limit": "watched", "list": "", "penalty": ""}
    assert target.stats()["limits"] == [{**place, "near": 1, "shadow_denied": 2}]


def test_a_shadow_domain_denies_nothing() -> None:
    block = address_list("bad", ListAction.DENY, "203.0.113.0/24")
    target = engine(plan(limit("per-ip", 1), lists=(block,), shadow=True))
    answers = [target.check(request(), now_ns=START) for _ in range(2)]
    assert [a["decision"] for a in answers] == ["allow"] * 2
    assert all(a["shadow_denied"] for a in answers)
    stats = target.stats()
    assert stats["shadow_denied"] == {"shop": 2}
    assert {(row["limit"], row["list"]): row["shadow_denied"] for row in stats["limits"]} == {
        ("", "bad"): 2,
        ("per-ip", ""): 1,
    }


def test_lists_decide_before_limits_and_in_order() -> None:
    office = address_list("office", ListAction.ALLOW, "203.0.113.7/32")
    bad = address_list("bad", ListAction.DENY, "203.0.113.0/24", status=451)
    target = engine(plan(limit("per-ip", 0), lists=(office, bad)))
    allowed = target.check(request(), now_ns=START)
    assert (allowed["decision"], allowed["reason"], allowed["limits"]) == ("allow", "allow_list", [])
    denied = target.check(request(source_address="203.0.113.9"), now_ns=START)
    assert (denied["status"], denied["reason"], denied["decided_by"]) == (451, "deny_list", "bad")
    other = target.check(request(source_address="198.51.100.1"), now_ns=START)
    assert other["reason"] == "over_limit"


def test_a_list_may_be_for_some_requests_only() -> None:
    admin = address_list("admin", ListAction.DENY, "0.0.0.0/0", match=path("/admin/*"))
    target = engine(plan(lists=(admin,)))
    assert decisions(target, [request(path="/admin/x"), request()]) == ["deny", "allow"]


def test_overrides_most_specific_wins() -> None:
    key = (KeyPart(Source.HEADER, b"x-api-key"),)
    overrides = (
        Override(OverrideKind.EXACT, Rate(0, 60_000, unlimited=True), b"gold-1"),
        Override(OverrideKind.GLOB, Rate(3, 60_000), b"gold-*"),
    )
    target = engine(plan(limit("plan", 1, key=key, overrides=overrides)))

    def run(value: str) -> list[str]:
        return decisions(target, [request(headers=[("X-Api-Key", value)])] * 4)

    assert run("gold-1") == ["allow"] * 4
    assert run("gold-2") == ["allow"] * 3 + ["deny"]
    assert run("tin") == ["allow"] + ["deny"] * 3


def test_overrides_by_network() -> None:
    overrides = (Override(OverrideKind.CIDR, Rate(2, 60_000), cidr=cidr("203.0.113.0/24")),)
    target = engine(plan(limit("per-ip", 1, overrides=overrides)))
    assert decisions(target, [request()] * 3) == ["allow", "allow", "deny"]
    assert decisions(target, [request(source_address="192.0.2.1")] * 2) == ["allow", "deny"]


def test_a_missing_key_part_is_shared_or_skipped() -> None:
    key = (KeyPart(Source.HEADER, b"x-api-key"),)
    shared = engine(plan(limit("plan", 1, key=key)))
    assert decisions(shared, [request()] * 2) == ["allow", "deny"]
    skipped = engine(plan(limit("plan", 1, key=key, skip_missing_key=True)))
    assert decisions(skipped, [request()] * 2) == ["allow"] * 2


def test_path_parameters_make_keys() -> None:
    users = limit("user", 1, match=path("/users/{id}/**"), key=(KeyPart(Source.PATH_PARAM, b"id"),))
    target = engine(plan(users))
    asked = [request(path=p) for p in ("/users/7/a", "/users/7/b", "/users/8/a")]
    assert decisions(target, asked) == ["allow", "deny", "allow"]


def test_cost_peek_and_dry_run() -> None:
    target = engine(plan(limit("per-ip", 10, cost=2)))
    assert target.check(request(cost=3), now_ns=START)["limits"][0]["remaining"] == 4
    assert target.check(request(cost=0), now_ns=START)["limits"][0]["remaining"] == 4
    assert target.check(request(dry_run=True), now_ns=START)["decision"] == "allow"
    assert target.check(request(cost=0), now_ns=START)["limits"][0]["remaining"] == 4
    assert target.check(request(cost=2**32 - 1), now_ns=START)["decision"] == "deny"


def test_limit_zero_bans() -> None:
    target = engine(plan(limit("ban", 0)))
    assert target.check(request(), now_ns=START)["decision"] == "deny"


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_algorithm_admits_its_limit_and_relents(algorithm: Algorithm) -> None:
    target = engine(plan(limit("per-ip", 4, 2000, algorithm=algorithm)))
    assert decisions(target, [request()] * 6) == ["allow"] * 4 + ["deny"] * 2
    assert decisions(target, [request()], now=START + 4 * SECOND) == ["allow"]


def test_unknown_domains() -> None:
    target = engine(plan(limit("per-ip", 0)))
    answer = target.check(request(domain="nobody"), now_ns=START)
    assert (answer["decision"], answer["reason"]) == ("allow", "no_policy")
    target.swap(Plan(plan(limit("per-ip", 0)).domains, unknown_domain_deny=True))
    assert target.check(request(domain="nobody"), now_ns=START)["decision"] == "deny"
    assert target.check(request(domain="shop"), now_ns=START)["reason"] == "over_limit"


def test_domains_do_not_share_counters() -> None:
    one, other = plan(limit("per-ip", 1)), plan(limit("other-ip", 1), name=b"blog")
    target = engine(Plan(one.domains + other.domains))
    asked = [request(), request(domain="blog"), request(domain="blog")]
    assert decisions(target, asked) == ["allow", "allow", "deny"]


RULE = Rule(b"sqli", (rb"union\s+select",), (TargetRef(Target.ARGS),), (Transformation.LOWERCASE,), score=5)
ATTACK = "/a?id=1%20UNION%20SELECT%202"


def scanning(mode: ScanMode, **changes: Any) -> Engine:
    return engine(plan(scan=scan(mode, RULE, **changes)))


def test_a_scan_blocks_and_names_the_rule() -> None:
    answer = scanning(ScanMode.BLOCK).check(request(path=ATTACK), now_ns=START)
    assert (answer["decision"], answer["status"], answer["reason"]) == ("deny", 403, "scan")
    assert answer["matches"] == [
        {"id": "sqli", "target": "ARGS:id", "score": 5},
        {"id": "threshold", "target": "TX:score", "score": 0},
    ]
    assert "sqli" not in str(answer["headers"])


def test_a_scan_that_detects_only_tells() -> None:
    answer = scanning(ScanMode.DETECT).check(request(path=ATTACK), now_ns=START)
    assert (answer["decision"], answer["shadow_denied"], answer["score"]) == ("allow", True, 5)


def test_a_score_below_the_threshold_passes() -> None:
    answer = scanning(ScanMode.BLOCK, threshold=6).check(request(path=ATTACK), now_ns=START)
    assert (answer["decision"], answer["score"], answer["shadow_denied"]) == ("allow", 5, False)


def test_routes_choose_the_scan_mode() -> None:
    routes = (ScanRoute(path("/media/*"), ScanMode.OFF), ScanRoute(path("/**"), ScanMode.BLOCK))
    target = scanning(ScanMode.DETECT, routes=routes)
    assert decisions(target, [request(path=ATTACK), request(path="/media" + ATTACK)]) == ["deny", "allow"]


def test_a_cut_body_is_the_policys_choice() -> None:
    cut = request(body=b"a=1", partial_body=True)
    answer = scanning(ScanMode.BLOCK, deny_partial_body=True).check(cut, now_ns=START)
    assert (answer["decision"], answer["reason"], answer["status"]) == ("deny", "partial_body", 413)
    answer = scanning(ScanMode.BLOCK).check(cut, now_ns=START)
    assert (answer["decision"], answer["inspected_all"]) == ("allow", False)


def test_a_denied_check_does_not_pay_for_a_scan() -> None:
    target = engine(plan(limit("ban", 0), scan=scan(ScanMode.BLOCK, RULE)))
    assert target.check(request(path=ATTACK), now_ns=START)["reason"] == "over_limit"
    assert target.stats()["scan"]["scans"] == 0


def test_explain_scans_what_a_limit_denies() -> None:
    target = engine(plan(limit("ban", 0), scan=scan(ScanMode.BLOCK, RULE)))
    answer = target.check(request(path=ATTACK, explain=True), now_ns=START)
    assert (answer["reason"], answer["status"], answer["decided_by"]) == ("over_limit", 429, "ban")
    assert [match["id"] for match in answer["matches"]] == ["sqli", "threshold"]


def test_headers_none_sends_no_ratelimit_fields() -> None:
    target = engine(plan(limit("per-ip", 3), headers=HeaderFamily.NONE))
    assert target.check(request(), now_ns=START)["headers"] == []


def test_more_limits_than_fit_are_counted_not_lost_silently() -> None:
    target = engine(plan(*(limit(f"l{n}", 100) for n in range(40))))
    assert len(target.check(request(), now_ns=START)["limits"]) == 32
    assert target.stats()["limits_truncated"] == 1


def test_bad_plans_are_refused_and_change_nothing() -> None:
    target = engine(plan(limit("per-ip", 1)))
    broken = Rule(b"broken", (b"(",), (TargetRef(Target.ARGS),), score=5)
    with pytest.raises(EngineError, match="broken"):
        target.swap(plan(scan=scan(ScanMode.BLOCK, broken)))
    assert decisions(target, [request()] * 2) == ["allow", "deny"]


def test_bad_networks_are_refused() -> None:
    bad = Plan((Domain(b"x", client=type(Domain(b"x").client)(trusted=(Cidr(b"123", 5),))),))
    with pytest.raises(EngineError, match="network"):
        Engine(max_keys=10).swap(bad)


def test_an_engine_without_a_policy_says_so() -> None:
    answer = Engine(max_keys=10).check(request())
    assert (answer["decision"], answer["reason"], answer["status"]) == ("deny", "overload", 503)
