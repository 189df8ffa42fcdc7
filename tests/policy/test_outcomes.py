"""Why a rule fired or did not, in words."""

from __future__ import annotations

from typing import Any

from ratelimitd.policy import load_text
from ratelimitd.policy.outcomes import Outcome, pattern_outcomes, unreached
from ratelimitd.policy.plan import Scan, Target

POLICY = """
version: 1
domain: d
scan:
  mode: block
  rulesets: [builtin]
  disable: [1001]
  rules:
    - {id: r, pattern: x, targets: TARGETS, transformations: [url_decode, lowercase], score: 3, message: no x}
"""


def scan_of(targets: str) -> Scan:
    scan = load_text(POLICY.replace("TARGETS", targets)).plan.domains[0].scan
    return Scan(rules=scan.rules[-1:], disabled=scan.disabled)


def reading(target: Target, name: bytes, value: bytes, *, looked: bool = True, fired: bool = False) -> dict[str, Any]:
    strings = [{"text": value.lower(), "rules": [0], "fired": [0] if fired else []}] if looked and value else []
    return {"target": target, "name": name, "value": value, "rules": [0] if looked else [], "strings": strings}


def outcome(targets: str, *readings: dict[str, Any]) -> Outcome:
    return pattern_outcomes(scan_of(targets), readings)[0]


def test_a_rule_that_fired_says_where_and_with_what() -> None:
    found = outcome("args", reading(Target.ARGS, b"a", b"A"), reading(Target.ARGS, b"b", b"X", fired=True))
    assert (found.fired, found.because, found.score, found.message) == (True, "", 3, "no x")
    assert [(hit.target, hit.value) for hit in found.hits] == [("args:b", b"x")]
    assert found.after == ("url_decode", "lowercase")


def test_a_rule_that_found_nothing_says_where_it_searched() -> None:
    found = outcome(
        "[args, 'headers:referer', '!args:pw']",
        reading(Target.ARGS, b"a", b"A"),
        reading(Target.ARGS, b"b", b""),
        reading(Target.ARGS, b"pw", b"x", looked=False),
        reading(Target.HEADERS, b"host", b"x", looked=False),
    )
    assert found.because == (
        "no pattern found in args (1 value, 1 empty, 1 left out), headers:referer (absent) after url_decode > lowercase"
    )


def test_a_rule_without_anything_to_search_says_so() -> None:
    assert outcome("[args, query]", reading(Target.QUERY, b"", b"")).because == (
        "nothing to search: args (absent), query (absent)"
    )
    left_out = reading(Target.ARGS, b"pw", b"x", looked=False)
    assert outcome("[args, '!args:pw']", left_out).because == "nothing to search: args (1 left out)"


def test_a_rule_that_is_disabled_is_told() -> None:
    scan = scan_of("args")
    for outcomes in (pattern_outcomes(scan, []), unreached(scan, "scan is off")):
        assert [(o.rule, o.fired) for o in outcomes] == [("r", False), ("1001", False)]
        assert outcomes[1].because == "left out by scan.disable"
    assert unreached(scan, "scan is off")[0].because == "scan is off"
