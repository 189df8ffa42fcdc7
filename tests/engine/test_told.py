"""What the log ring keeps of rules that matched: enough to see why, and never more than its record has room for."""

from __future__ import annotations

from typing import Any

from ratelimitd._engine import Engine
from ratelimitd.policy.plan import Profile, Scan, ScanMode
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from .plans import START, plan, request

RULES = "\n".join(f'SecRule ARGS "@contains evil" "id:{n},phase:2,pass,t:lowercase"' for n in range(1, 11))
RULES += '\nSecRule ARGS "@contains evil" "id:99,phase:2,deny"'


def engine(mode: ScanMode = ScanMode.BLOCK, rules: str = RULES, **changes: Any) -> Engine:
    out = Engine(max_keys=1000)
    profile = Profile(b"p", compile_rules(parse(rules.encode())))
    out.swap(plan(scan=Scan(mode=mode, profiles=(profile,)), **changes))
    return out


def told(target: Engine, **asked: Any) -> Any:
    target.check(request(**asked), now_ns=START)
    (event,) = target.events()
    return event


def test_the_first_matches_with_target_and_transformed_value() -> None:
    event = told(engine(), path="/?q=xEVIL&r=evil")
    assert (event["decision"], event["limit"], event["phase"]) == ("deny", "99", "request")
    assert [match["id"] for match in event["matches"]] == [str(n) for n in range(1, 9)]
    assert event["more_matches"] == 3
    assert event["matches"][0] == {"id": "1", "target": "ARGS:r", "score": 0, "value": b"evil", "size": 4}


def test_denials_in_the_shadow_tell_the_same() -> None:
    event = told(engine(ScanMode.DETECT), path="/?q=evil")
    assert (event["decision"], event["shadow"], event["limit"], len(event["matches"])) == ("allow", True, "99", 8)


def test_what_is_long_is_cut_and_what_is_binary_stays() -> None:
    value = b"evil\x00\xff\x1b" * 100
    event = told(engine(), method="POST", headers=[("content-type", "application/x-www-form-urlencoded")],
                 body=b"n" * 300 + b"=" + b"".join(b"%%%02x" % byte for byte in value))  # fmt: skip
    match = event["matches"][0]
    assert (match["value"], match["size"]) == (value[:128], 700)
    assert match["target"].startswith("ARGS:nnn")
    assert len(match["target"]) == 94


def test_a_rule_without_a_condition_has_no_value() -> None:
    event = told(engine(rules='SecAction "id:5,phase:1,deny"'))
    assert event["matches"] == [{"id": "5", "target": "", "score": 0, "value": b"", "size": 0}]


def test_a_domain_that_hides_keys_is_marked() -> None:
    assert told(engine(log_keys="hash"), path="/?q=evil")["secret"]
    assert not told(engine(), path="/?q=evil")["secret"]


def test_an_event_without_a_scan_has_no_matches_of_the_one_before() -> None:
    target = engine()
    target.check(request(path="/?q=evil"), now_ns=START)
    target.events()
    target.swap(plan(scan=Scan()))
    assert target.check(request(path="/?q=evil"), now_ns=START)["decision"] == "allow"
    assert all(event["matches"] == [] for event in target.events())
