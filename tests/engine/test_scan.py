"""Rule programs as the engine's scan: profiles, routes, modes, and what a verdict says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Domain, Plan, Profile, Scan, ScanMode, ScanRoute
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Program
from ratelimitd.waf.seclang import parse

from .plans import START, limit, path, plan, request

RULES = """
SecRule ARGS "@rx (?i)union\\s+select" "id:942100,phase:2,block,t:none,setvar:tx.score=+5,msg:'SQL'"
SecRule ARGS "@contains zzz" "id:7,phase:2,pass,t:none,setvar:tx.score=+2"
SecRule TX:score "@ge 5" "id:949,phase:2,deny,status:406"
SecRule ARGS:alone "@streq yes" "id:8,phase:2,deny"
"""
ATTACK = "/a?id=1%20UNION%20SELECT%202"


def program(text: str = RULES) -> Program:
    made = compile_rules(parse(text.encode()))
    return Program(
        **{name: getattr(made, name) for name in made.__slots__} | {"scores": (b"score",), "score": b"score"}
    )


def profile(rules: Program | None = None, **changes: Any) -> Profile:
    return Profile(b"p", program() if rules is None else rules, **changes)


def scanning(mode: ScanMode, *profiles: Profile, shadow: bool = False, **changes: Any) -> Engine:
    out = Engine(max_keys=1000)
    out.swap(plan(scan=Scan(mode=mode, profiles=profiles or (profile(),), **changes), shadow=shadow))
    return out


def test_a_scan_blocks_with_the_rules_that_fired() -> None:
    answer = scanning(ScanMode.BLOCK).check(request(path=ATTACK), now_ns=START)
    assert (answer["decision"], answer["status"], answer["reason"]) == ("deny", 406, "scan")
    assert (answer["decided_by"], answer["score"]) == ("949", 5)
    assert answer["matches"] == [
        {"id": "942100", "target": "ARGS:id", "score": 5},
        {"id": "949", "target": "TX:score", "score": 0},
    ]


def test_a_rule_may_deny_alone() -> None:
    answer = scanning(ScanMode.BLOCK).check(request(path="/?alone=yes"), now_ns=START)
    assert (answer["status"], answer["decided_by"], answer["score"]) == (403, "8", 0)


def test_a_score_that_is_low_passes() -> None:
    answer = scanning(ScanMode.BLOCK).check(request(path="/?a=zzz"), now_ns=START)
    assert (answer["decision"], answer["score"], answer["shadow_denied"]) == ("allow", 2, False)
    assert [match["id"] for match in answer["matches"]] == ["7"]


@pytest.mark.parametrize(("mode", "shadow"), [(ScanMode.DETECT, False), (ScanMode.BLOCK, True)])
def test_what_is_only_watched_is_told(mode: ScanMode, shadow: bool) -> None:
    answer = scanning(mode, shadow=shadow).check(request(path=ATTACK + "&alone=yes"), now_ns=START)
    assert (answer["decision"], answer["status"], answer["shadow_denied"]) == ("allow", 200, True)
    assert [match["id"] for match in answer["matches"]] == ["942100", "949", "8"]  # it goes on behind the denial


def test_clients_learn_no_rule() -> None:
    answer = scanning(ScanMode.BLOCK).check(request(path=ATTACK), now_ns=START)
    assert not re.search("942100|949|score|sql", str(answer["headers"]), re.IGNORECASE)


def test_routes_choose_mode_and_profile() -> None:
    strict = profile(program('SecRule ARGS "@rx ." "id:1,phase:2,deny"'), status=451)
    routes = (
        ScanRoute(path("/media/*"), ScanMode.OFF),
        ScanRoute(path("/admin/*"), ScanMode.BLOCK, 1),
        ScanRoute(path("/watched/*"), ScanMode.DETECT, 1),
    )
    target = scanning(ScanMode.BLOCK, profile(), strict, routes=routes)

    def decided(where: str) -> tuple[str, str, bool]:
        answer = target.check(request(path=where), now_ns=START)
        return answer["decision"], answer["decided_by"], answer["shadow_denied"]

    assert decided(ATTACK) == ("deny", "949", False)
    assert decided("/media" + ATTACK) == ("allow", "", False)
    assert decided("/?a=x") == ("allow", "", False)
    assert decided("/admin/a?a=x") == ("deny", "1", False)
    assert decided("/watched/a?a=x") == ("allow", "", True)
    assert target.stats()["scan"]["scans"] == 4


def test_a_route_to_no_profile_is_refused() -> None:
    with pytest.raises(EngineError, match="profile 3"):
        scanning(ScanMode.BLOCK, routes=(ScanRoute(path("/"), ScanMode.BLOCK, 3),))


def test_a_denial_without_a_status_has_the_profiles() -> None:
    rules = program('SecRule ARGS "@rx ." "id:1,phase:2,deny"')
    without = replace(rules, links=(replace(rules.links[0], status=0),))
    answer = scanning(ScanMode.BLOCK, profile(without, status=451)).check(request(), now_ns=START)
    assert (answer["decision"], answer["status"]) == ("deny", 451)


def test_cut_bodies_and_limits_are_the_profiles() -> None:
    cut = request(method="POST", body=b"a=1", partial_body=True)
    answer = scanning(ScanMode.BLOCK, profile(deny_partial_body=True)).check(cut, now_ns=START)
    assert (answer["decision"], answer["reason"], answer["status"]) == ("deny", "partial_body", 413)
    answer = scanning(ScanMode.DETECT, profile(deny_partial_body=True)).check(cut, now_ns=START)
    assert (answer["decision"], answer["shadow_denied"], answer["bytes_inspected"]) == ("allow", True, 3)
    whole = request(method="POST", body=b"a=" + b"x" * 100)
    answer = scanning(ScanMode.BLOCK, profile(body_limit=10)).check(whole, now_ns=START)
    assert (answer["bytes_inspected"], answer["inspected_all"]) == (10, False)
    answer = scanning(ScanMode.BLOCK).check(whole, now_ns=START)
    assert (answer["bytes_inspected"], answer["inspected_all"]) == (102, True)


def many(count: int, scored: range) -> str:
    lines = [
        f'SecRule ARGS "@rx a" "id:{n},phase:2,pass{",setvar:tx.score=+1" if n in scored else ""}"'
        for n in range(1, count + 1)
    ]
    return "\n".join([*lines, 'SecRule TX:score "@ge 1" "id:999,phase:2,deny"'])


def test_of_too_many_matches_those_that_count_are_told() -> None:
    answer = scanning(ScanMode.BLOCK, profile(program(many(60, range(50, 61))))).check(request(path="/?a=a"))
    told = [match["id"] for match in answer["matches"]]
    assert (len(told), answer["decided_by"]) == (32, "999")
    assert told == ["999", *map(str, range(50, 61)), *map(str, range(1, 21))]


def test_targets_are_printable_and_bounded() -> None:
    name = "%00%0a%25" + "n" * 4000
    answer = scanning(ScanMode.DETECT).check(request(path=f"/?{name}=zzz"))
    target = answer["matches"][0]["target"]
    assert target.startswith("ARGS:%00%0A%25nnn")
    assert len(target) < 200


def test_matches_are_counted_by_rule() -> None:
    target = scanning(ScanMode.DETECT)
    for where in (ATTACK, ATTACK, "/?a=zzz"):
        target.check(request(path=where), now_ns=START)
    stats = target.stats()
    assert sorted((row["domain"], row["rule"], row["count"]) for row in stats["rules"]) == [
        ("shop", "7", 1),
        ("shop", "942100", 2),
        ("shop", "949", 2),
    ]
    assert (stats["scan"]["scans"], stats["scan"]["matches"], stats["scan"]["errors"]) == (3, 5, 0)


def test_equal_programs_are_built_once_and_live_through_reloads() -> None:
    rules = "\n".join(f'SecRule ARGS "@rx attack{n}[a-z]+x" "id:{n},phase:2,deny"' for n in range(1, 200))
    one, other = program(rules), program(rules)
    assert one is not other
    target = Engine(max_keys=100)
    both = Plan(tuple(Domain(name, scan=Scan(ScanMode.BLOCK, profiles=(profile(one),))) for name in (b"a", b"b")))
    first = target.swap(both)
    alone = target.swap(plan(scan=Scan(ScanMode.BLOCK, profiles=(profile(other, status=451),))))
    assert alone["databases"] == first["databases"] > 0
    assert alone["compile_ms"] < first["compile_ms"] / 3
    assert target.check(request(path="/?a=attack7zzx"), now_ns=START)["reason"] == "scan"
    assert target.swap(plan())["databases"] == 0


def test_a_limit_that_denies_spares_the_scan() -> None:
    target = Engine(max_keys=100)
    target.swap(plan(limit("ban", 0), scan=Scan(ScanMode.BLOCK, profiles=(profile(),))))
    assert target.check(request(path=ATTACK), now_ns=START)["reason"] == "over_limit"
    assert target.stats()["scan"]["scans"] == 0
    answer = target.check(request(path=ATTACK, explain=True), now_ns=START)
    assert (answer["reason"], answer["status"], answer["decided_by"]) == ("over_limit", 429, "ban")
    assert [match["id"] for match in answer["matches"]] == ["942100", "949"]


def test_the_dump_tells_of_profiles() -> None:
    assert re.search(r"profile 0: 4 links, .*body up to 131072 bytes", scanning(ScanMode.DETECT).dump())
