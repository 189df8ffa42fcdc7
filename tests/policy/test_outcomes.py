"""Why a rule fired or did not, in words."""

from __future__ import annotations

from typing import Any

from ratelimitd.policy import load_text
from ratelimitd.policy.outcomes import Outcome, outcomes, unreached
from ratelimitd.policy.plan import Profile, Scan
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.explain import find
from ratelimitd.waf.seclang import parse

POLICY = """
version: 1
domain: d
scan:
  mode: block
  rulesets: [builtin]
  disable: [1002010]
  rules:
    - id: r
      pattern: x
      targets: [args, "headers:referer", "!args:pw"]
      transformations: [url_decode, lowercase]
      score: 3
      message: no x
"""
CHAIN = """
SecRule ARGS:a "@rx x" "id:5,phase:2,deny,chain,msg:'both'"
  SecRule &ARGS "!@eq 1" "t:none"
"""


def scan() -> Scan:
    return load_text(POLICY).plan.domains[0].scan


def first_of(profile: Profile, rule: str) -> int:
    return find(profile.program, rule)[0][0]


def row(first: int, fate: str, **changes: Any) -> dict[str, Any]:
    return {"link": first, "fate": fate, "score": 0, "values": 0, "broken": 0, "hits": []} | changes


def outcome(fate: str, **changes: Any) -> Outcome:
    profile = scan().profiles[0]
    return outcomes(profile, scan(), [row(first_of(profile, "r"), fate, **changes)])[0]


def test_a_rule_that_fired_says_where_and_with_what() -> None:
    found = outcome("fired", score=3, hits=[{"target": "ARGS:b", "value": b"x"}])
    assert (found.rule, found.fired, found.because, found.score, found.message) == ("r", True, "", 3, "no x")
    assert [(hit.target, hit.value) for hit in found.hits] == [("ARGS:b", b"x")]
    assert found.after == ("url_decode", "lowercase")


def test_a_rule_that_did_not_fire_says_why() -> None:
    found = outcome("passed", values=2)
    assert found.because == "found nothing in ARGS, REQUEST_HEADERS:referer (2 values)"
    assert (found.fired, found.score, found.values) == (False, 3, 2)
    assert outcome("passed").because == "nothing to look at: ARGS, REQUEST_HEADERS:referer"
    assert outcome("skipped").because == "skipped by a rule before it"
    assert outcome("removed").because == "taken away by a rule before it, or an exclusion"
    assert outcome("unreached").because == "not reached: the scan had decided"


def test_a_chain_says_which_link_broke_it() -> None:
    profile = Profile(b"p", compile_rules(parse(CHAIN.encode())))
    first = first_of(profile, "5")
    (found,) = outcomes(profile, Scan(), [row(first, "broken", broken=1, values=1)])
    assert found.because == "link 2 of its chain: eq 1"
    (found,) = outcomes(profile, Scan(), [row(first, "broken", broken=1)])
    assert found.because == "link 2 of its chain: nothing to look at: &ARGS"


def test_a_rule_that_is_disabled_is_told() -> None:
    whole = scan()
    for found in (outcomes(whole.profiles[0], whole, []), unreached(whole.profiles[0], whole, "scan is off")):
        assert (found[-1].rule, found[-1].fired, found[-1].because) == ("1002010", False, "left out by scan.disable")
    assert unreached(whole.profiles[0], whole, "scan is off")[0].because == "scan is off"
