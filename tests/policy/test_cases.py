"""A policy's own tests: their timeline, and what is told when a verdict differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratelimitd.policy import load_text
from ratelimitd.policy.cases import EPOCH_NS, Case, Checker, run_cases

HEAD = """
version: 1
domain: shop
lists: {office: {allow: [192.0.2.0/24]}}
limits: {login: {key: client.ip, limit: 5, window: 1m}, other: {key: client.ip, limit: 5, window: 1m}}
scan: {mode: block, rulesets: [builtin]}
tests:
"""


def cases(tests: str) -> tuple[Case, ...]:
    return load_text(HEAD + tests).cases


class Fake:
    """Allows so many requests, then denies them."""

    def __init__(self, allowed: int, verdict: Mapping[str, Any] | None = None) -> None:
        self.allowed = allowed
        self.verdict = dict(verdict or {"reason": "over_limit", "decided_by": "login", "status": 429})
        self.seen: list[tuple[Mapping[str, Any], int]] = []

    def __call__(self, request: Mapping[str, Any], now_ns: int) -> Mapping[str, Any]:
        self.seen.append((request, now_ns))
        if len(self.seen) <= self.allowed:
            return {"decision": "allow", "reason": "none", "decided_by": "", "status": 200}
        return {"decision": "deny", **self.verdict}


def differences(tests: str, checker: Checker) -> list[str]:
    (result,) = run_cases(cases(tests), lambda: checker)
    return list(result.differences)


def test_requests_come_in_the_order_of_time() -> None:
    fake = Fake(9)
    tests = """
  - name: mixed
    requests:
      - {at: 2s, path: /late}
      - {repeat: 3, every: 1s, path: /train}
      - {at: 1s, path: /between, headers: {X-A: [1a, 2b]}, attributes: {plan: gold}, body: hi, cost: 2, ip: 203.0.113.9}
    expect: {allowed: 5, denied: 0}
"""
    assert differences(tests, fake) == []
    times = [((now - EPOCH_NS) // 10**6, request["path"]) for request, now in fake.seen]
    assert times == [(0, "/train"), (1000, "/train"), (1000, "/between"), (2000, "/late"), (2000, "/train")]
    between = fake.seen[2][0]
    assert between == {
        "domain": "shop",
        "source_address": "203.0.113.9",
        "method": "GET",
        "path": "/between",
        "host": "",
        "scheme": "https",
        "headers": [("x-a", "1a"), ("x-a", "2b")],
        "body": "hi",
        "partial_body": False,
        "attributes": {"plan": "gold"},
        "cost": 2,
    }
    assert "body" not in fake.seen[0][0]


def test_time_begins_with_every_window_up_to_a_week() -> None:
    assert EPOCH_NS % (7 * 86_400 * 10**9) == 0


def test_every_case_begins_fresh() -> None:
    made: list[Fake] = []

    def fresh() -> Checker:
        made.append(Fake(5))
        return made[-1]

    tests = "".join(
        f"  - {{name: t{i}, requests: {{repeat: 6}}, expect: {{allowed: 5, denied: 1, limit: login}}}}\n"
        for i in range(3)
    )
    assert all(result.passed for result in run_cases(cases(tests), fresh))
    assert len(made) == 3


def test_a_difference_is_told_in_words() -> None:
    expect = "{allowed: 4, denied: 2, limit: other, status: 503, reason: scan, rule: 1002010}"
    tests = f"  - {{name: t, requests: {{repeat: 6}}, expect: {expect}}}\n"
    assert differences(tests, Fake(5)) == [
        "allowed: expected 4, got 5 of 6",
        "denied: expected 2, got 1 of 6",
        "limit of the denied requests: expected other, got login",
        "status of the denied requests: expected 503, got 429",
        "reason of the denied requests: expected scan, got over_limit",
        "rule of the denied requests: expected 1002010, got none",
    ]


def test_a_rule_a_list_and_shadow_are_seen() -> None:
    matches = [{"id": "1002010"}, {"id": "1009900"}]
    scan = {"reason": "scan", "decided_by": "1009900", "status": 403, "matches": matches}
    expect = "{denied: 1, rule: 1002010, reason: scan}"
    assert differences(f"  - {{name: t, requests: {{}}, expect: {expect}}}\n", Fake(0, scan)) == []
    allow = {"decision": "allow", "reason": "allow_list", "decided_by": "office", "status": 200}
    assert differences("  - {name: t, requests: {}, expect: {allowed: 1, list: office}}\n", lambda *_: allow) == []
    shadow = {
        "decision": "allow",
        "reason": "none",
        "status": 200,
        "shadow_denied": True,
        "limits": [{"name": "login", "over": True, "shadow": True}],
    }
    assert (
        differences("  - {name: t, requests: {}, expect: {shadow_denied: 1, limit: login}}\n", lambda *_: shadow) == []
    )
