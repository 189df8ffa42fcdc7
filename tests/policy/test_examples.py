"""The tests of our own policies pass on the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.commands.explain import limit_lines, list_line, list_that_decides, scan_lines
from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.cases import EPOCH_NS, Case, Checker, run_cases
from ratelimitd.policy.evaluate import find_override, key_text
from ratelimitd.policy.plan import Domain, Plan
from ratelimitd.policy.request import Request, from_mapping
from ratelimitd.policy.values import client_address

from ..databases import compiling

ROOT = Path(__file__).resolve().parents[2]
POLICIES = [*sorted((ROOT / "examples" / "policies").glob("*.yaml")), ROOT / "ratelimitd" / "starter.yaml"]


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.stem)
def test_a_policy_keeps_its_promises(path: Path) -> None:
    policy = load_policy(path)

    def fresh() -> Checker:
        engine = fresh_engine(policy.plan)

        def check(request: Mapping[str, Any], now_ns: int) -> Mapping[str, Any]:
            return engine.check(request, now_ns=now_ns)

        return check

    results = run_cases(policy.cases, fresh)
    assert results
    assert {result.case.name: result.differences for result in results if not result.passed} == {}


def fresh_engine(plan: Plan) -> Engine:
    engine = Engine(max_keys=4096)
    with compiling() as databases:
        engine.swap(plan, cache_dir=str(databases))
    return engine


def requests_of(cases: tuple[Case, ...]) -> list[Request]:
    """Each request of the tests, and the same from nowhere, without what the policies look for."""
    told = [from_mapping(step.request) for case in cases for step in case.steps]
    return [*told, *(replace(r, headers=(), attributes=(), source_address=b"") for r in told)]


def limit_of(domain: Domain, name: str, request: Request) -> int:
    """The number of hits that explain promises."""
    limit = next(limit for limit in domain.limits if limit.name.decode() == name)
    key = key_text(limit, request, domain.client)
    assert key is not None
    index = find_override(limit.overrides, key, client_address(request, domain.client))
    return limit.rate.limit if index is None else limit.overrides[index].rate.limit


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.stem)
def test_explain_says_what_the_engine_does(path: Path) -> None:
    policy = load_policy(path)
    (domain,) = policy.plan.domains
    engine = fresh_engine(policy.plan)
    asked = requests_of(policy.cases)
    for number, request in enumerate(asked):
        at = EPOCH_NS + number * 2 * 86_400 * 10**9  # every window has passed
        fields = {**asdict(request), "attributes": dict(request.attributes), "cost": 1}
        verdict = engine.check(fields, now_ns=at)
        decided = list_that_decides(domain, [list_line(item, request, domain) for item in domain.lists])
        lines = [line for line in limit_lines(domain, request) if line.applies]
        states = {state["name"]: state for state in verdict["limits"]}
        if decided:
            assert verdict["decided_by"] == decided
            assert not states
            continue
        assert [line.name for line in lines] == list(states), request
        for name, state in states.items():
            assert state["unlimited"] or state["limit"] == limit_of(domain, name, request)
        denied_by_limit = verdict["reason"] == "over_limit"
        mode, *_ = scan_lines(request, domain)
        assert not (verdict["matches"] and (mode == "off" or denied_by_limit))
    assert asked


def test_explain_knows_how_many_limits_a_check_looks_at() -> None:
    """More limits may match than one check counts; both take the first of the file."""
    limits = "".join(f"  l{n}: {{match: {{path: /a*}}, key: client.ip, limit: 9, window: 1s}}\n" for n in range(40))
    (domain,) = load_text(f"version: 1\ndomain: d\nlimits:\n{limits}").plan.domains
    plan = load_text(f"version: 1\ndomain: d\nlimits:\n{limits}").plan
    request = from_mapping({"path": "/a", "ip": "203.0.113.7"})
    engine = fresh_engine(plan)
    verdict = engine.check({"path": "/a", "source_address": "203.0.113.7"}, now_ns=EPOCH_NS)
    lines = limit_lines(domain, request)
    assert [line.name for line in lines if line.applies] == [state["name"] for state in verdict["limits"]]
    assert "32" in lines[-1].because
    assert engine.stats()["limits_truncated"] == 1
