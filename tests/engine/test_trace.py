"""What is told of a scan is what it does."""

from __future__ import annotations

from typing import Any

from ratelimitd import trial
from ratelimitd._engine import Engine
from ratelimitd.policy.plan import Profile, Scan, ScanMode, ScanRoute
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Program
from ratelimitd.waf.seclang import load, parse
from tests.waf.rulesets import V4_PATHS, needs_v4

from ..databases import compiling
from .plans import path, plan, request

RULES = """
SecRule REQUEST_HEADERS:x-skip "@streq 1" "id:1,phase:1,pass,nolog,skipAfter:END"
SecRule REQUEST_HEADERS:x-remove "@streq 1" "id:2,phase:1,pass,nolog,ctl:ruleRemoveById=12"
SecRule ARGS "@rx evil" "id:10,phase:2,pass,t:lowercase,multiMatch,setvar:tx.score=+3"
SecRule ARGS:a "@rx [x]" "id:11,phase:2,pass,chain"
  SecRule REQUEST_HEADERS:x-chain "@streq 1" "setvar:tx.score=+2"
SecRule ARGS "@rx [y]" "id:12,phase:2,pass"
SecMarker END
SecRule ARGS:deny "@streq 1" "id:13,phase:2,deny"
SecRule ARGS:last "@rx ." "id:14,phase:2,pass"
"""


def program(text: str = RULES) -> Program:
    return compile_rules(parse(text.encode()))


def engine(mode: ScanMode = ScanMode.BLOCK, *profiles: Profile, **changes: Any) -> Engine:
    with compiling() as databases:
        scan = Scan(mode, profiles=profiles or (Profile(b"p", program()),), **changes)
        return trial.engine(plan(scan=scan), str(databases))


def fates(target: Engine, **changes: Any) -> dict[str, str]:
    return {row["rule"]: row["fate"] for row in target.trace(request(**changes))["rules"]}


def test_a_rule_that_fired_tells_every_value() -> None:
    rows = {row["rule"]: row for row in engine().trace(request(path="/?a=EVIL&b=evil&c=good"))["rules"]}
    assert rows["10"]["fate"] == "fired"
    assert rows["10"]["hits"] == [{"target": "ARGS:a", "value": b"evil"}, {"target": "ARGS:b", "value": b"evil"}]
    assert rows["10"]["score"] == 0  # no score is set up: what counts as one is the program's word
    assert rows["12"] | {"link": 0} == {
        "link": 0,
        "rule": "12",
        "fate": "passed",
        "score": 0,
        "values": 3,
        "broken": 0,
        "hits": [],
    }
    assert (rows["14"]["fate"], rows["14"]["values"]) == ("passed", 0)


def test_a_chain_tells_where_it_broke() -> None:
    rows = {row["rule"]: row for row in engine().trace(request(path="/?a=x"))["rules"]}
    assert (rows["11"]["fate"], rows["11"]["broken"], rows["11"]["values"]) == ("broken", 1, 0)
    rows = {row["rule"]: row for row in engine().trace(request(path="/?a=x", headers=[("x-chain", "2")]))["rules"]}
    assert (rows["11"]["fate"], rows["11"]["broken"], rows["11"]["values"]) == ("broken", 1, 1)
    assert fates(engine(), path="/?a=x", headers=[("x-chain", "1")])["11"] == "fired"


def test_skipped_removed_and_unreached() -> None:
    found = fates(engine(), path="/?a=evil", headers=[("x-skip", "1")])
    assert [found[rule] for rule in ("1", "2")] == ["fired", "skipped"]
    assert fates(engine(), path="/?a=y", headers=[("x-remove", "1")])["12"] == "removed"
    asked = {"path": "/?deny=1&last=1"}
    assert [fates(engine(), **asked)[rule] for rule in ("13", "14")] == ["fired", "unreached"]
    assert [fates(engine(ScanMode.DETECT), **asked)[rule] for rule in ("13", "14")] == ["fired", "fired"]


def test_the_profile_of_the_route_is_traced() -> None:
    other = Profile(b"other", program('SecRule ARGS "@rx ." "id:5,phase:2,deny"'))
    target = engine(
        ScanMode.BLOCK,
        Profile(b"p", program()),
        other,
        routes=(ScanRoute(path("/o/*"), ScanMode.BLOCK, 1),),
    )
    assert target.trace(request(path="/o/x?a=1"))["profile"] == 1
    assert fates(target, path="/o/x?a=1") == {"5": "fired"}
    assert target.trace(request(path="/x"))["profile"] == 0


def test_no_rules_and_no_domain() -> None:
    nothing = {"profile": -1, "rules": [], "variables": {}}
    assert trial.engine(plan()).trace(request()) == nothing
    assert engine().trace(request(domain="nobody")) == nothing


@needs_v4
def test_what_is_traced_is_what_is_matched() -> None:
    rules = compile_rules(load(V4_PATHS))
    target = engine(ScanMode.DETECT, Profile(b"p", rules))
    for where in ("/?q=<script>alert(1)</script>", "/?id=1'+or+1=1--", "/etc/../passwd?a=1", "/?a=b"):
        asked = request(path=where, headers=[("user-agent", "nikto"), ("accept", "*/*")])
        verdict = target.check(asked)
        fired = [row for row in target.trace(asked)["rules"] if row["fate"] == "fired"]
        told = [row for row in fired if rules.links[row["link"]].log]
        assert [match["id"] for match in verdict["matches"]] == [row["rule"] for row in told]
        assert [match["score"] for match in verdict["matches"]] == [row["score"] for row in told]
