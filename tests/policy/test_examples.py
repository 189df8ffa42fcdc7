"""The tests of our own policies pass on the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.policy import load_policy
from ratelimitd.policy.cases import Checker, run_cases

ROOT = Path(__file__).resolve().parents[2]
POLICIES = [*sorted((ROOT / "examples" / "policies").glob("*.yaml")), ROOT / "ratelimitd" / "starter.yaml"]


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.stem)
def test_a_policy_keeps_its_promises(path: Path) -> None:
    policy = load_policy(path)

    def fresh() -> Checker:
        engine = Engine(max_keys=4096)
        engine.swap(policy.plan)

        def check(request: Mapping[str, Any], now_ns: int) -> Mapping[str, Any]:
            return engine.check(request, now_ns=now_ns)

        return check

    results = run_cases(policy.cases, fresh)
    assert results
    assert {result.case.name: result.differences for result in results if not result.passed} == {}
