"""Verdicts as check makes them, for the encoders (names and values of rl_verdict)."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

ALLOW, DENY = 0, 1
REASONS = ["none", "allow_list", "deny_list", "over_limit", "scan", "partial_body", "no_policy", "overload"]
REASONS += ["penalty"]
DENY_LIST, OVER_LIMIT, SCAN, OVERLOAD, PENALTY = 2, 3, 4, 7, 8
IETF, X_RATELIMIT = 1, 2


def state(name: str, limit: int = 100, remaining: int = 40, **fields: Any) -> dict[str, Any]:
    return {
        "name": name.encode(),
        "policy_item": f'"{name}";q={limit};w=60'.encode(),
        "limit": limit,
        "remaining": remaining,
        "window_ms": 60_000,
        "reset_after_ms": 12_001,
    } | fields


def allowed(**fields: Any) -> dict[str, Any]:
    states = [state("per-ip", remaining=7), state("plan", 1000, 990)]
    return {
        "decision": ALLOW,
        "status": 200,
        "header_families": IETF | X_RATELIMIT,
        "states": states,
        "tightest_state": 0,
        "domain": b"shop",
    } | fields


def limited(**fields: Any) -> dict[str, Any]:
    states = [state("per-ip"), state("login", 5, 0, over=1)]
    return {
        "decision": DENY,
        "reason": OVER_LIMIT,
        "status": 429,
        "header_families": IETF | X_RATELIMIT,
        "states": states,
        "deciding_state": 1,
        "tightest_state": 1,
        "retry_after_s": 13,
        "reference": 0xABC,
        "domain": b"shop",
    } | fields


def scanned(**fields: Any) -> dict[str, Any]:
    return {
        "decision": DENY,
        "reason": SCAN,
        "status": 403,
        "matches": [{"id": b"942100", "target": b"args:id", "score": 5}, {"id": b"no-log4j", "target": b"body"}],
        "deciding_match": 0,
        "score": 5,
        "reference": 0x0123456789ABCDEF,
        "bytes_inspected": 300,
        "inspected_all": 1,
        "domain": b"shop",
    } | fields


def listed(**fields: Any) -> dict[str, Any]:
    return {"decision": DENY, "reason": DENY_LIST, "status": 403, "list": b"banned", "reference": 1} | fields


def banned(**fields: Any) -> dict[str, Any]:
    told = {"decision": DENY, "reason": PENALTY, "status": 403, "penalty": b"brute-force", "retry_after_s": 600}
    return {**told, "reference": 1} | fields


_u32, _u64, _flag = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 1)
_name = st.binary(max_size=12) | st.text(max_size=700).map(str.encode) | st.binary(min_size=500, max_size=600)
_item = st.just(b"") | st.text(alphabet='"a;=1', max_size=400).map(str.encode)
_state = st.fixed_dictionaries(
    {"name": _name, "policy_item": _item, "limit": _u64, "remaining": _u64, "window_ms": _u32, "reset_after_ms": _u32}
    | dict.fromkeys(("over", "shadow", "unlimited"), _flag)
)
_match = st.fixed_dictionaries({"id": _name, "target": _name, "score": _u32})
any_verdict = st.fixed_dictionaries(
    {
        "decision": _flag,
        "reason": st.integers(0, 8),
        "shadow_denied": _flag,
        "header_families": st.integers(0, 3),
        "status": st.integers(0, 2**16 - 1),
        "inspected_all": _flag,
        "deciding_state": st.integers(-1, 32),
        "deciding_match": st.integers(-1, 32),
        "tightest_state": st.integers(-1, 32),
        "score": _u32,
        "retry_after_s": _u32,
        "bytes_inspected": _u64,
        "reference": _u64,
        "domain": _name,
        "list": _name,
        "penalty": _name,
        "states": st.lists(_state, max_size=32),
        "matches": st.lists(_match, max_size=32),
    }
)
