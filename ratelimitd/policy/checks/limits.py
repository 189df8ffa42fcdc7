"""Limits, but for their rates and overrides."""

from __future__ import annotations

from ratelimitd.policy.checks.conditions import check_match
from ratelimitd.policy.checks.findings import Findings, check_name
from ratelimitd.policy.checks.keys import check_key
from ratelimitd.policy.checks.overrides import check_override, check_overrides
from ratelimitd.policy.checks.rate import check_rate
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.protostruct import MAX_METADATA, encode_struct
from ratelimitd.policy.schema import LimitSpec


def check_limits(f: Findings) -> None:
    for name, spec in f.spec.limits.items():
        path: Path = ("limits", name)
        check_match(f, spec.match, (*path, "match"))
        check_key(f, spec, path)
        check_rate(f, spec, path)
        for pattern, override in spec.overrides.items():
            check_override(f, spec, pattern, override, (*path, "overrides", pattern))
        check_overrides(f, spec, (*path, "overrides"))
        if spec.count == "scan_score" and spec.score_cost:
            message, hint = "score_cost belongs to limits that count hits", "write cost: what each point costs"
            f.error("P302", message, (*path, "score_cost"), hint, key=True)
        check_consistency(f, spec, path)
        check_answer(f, name, spec, path)


def check_answer(f: Findings, name: str, spec: LimitSpec, path: Path) -> None:
    """What only ShouldRateLimit knows."""
    for index, other in enumerate(spec.replaces):
        check_name(f, "limit", other, f.spec.limits, (*path, "replaces", index), f.whole(("limits",)))
        if other == name:
            f.error("P503", f"limit '{name}' replaces itself", (*path, "replaces", index), "remove it")
    if not spec.metadata:
        return
    if not spec.quota and f.whole((*path, "quota")):
        f.warning("P404", "metadata has no effect without quota", (*path, "metadata"), "add `quota: true`", key=True)
    if len(encode_struct(spec.metadata)) > MAX_METADATA:
        f.error("P205", f"'metadata' must be at most {MAX_METADATA} bytes", (*path, "metadata"), key=True)


def check_consistency(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.consistency == "local" and spec.on_store_loss != "local":
        message = "on_store_loss has no effect: a local limit never asks the store"
        f.warning("P404", message, (*path, "on_store_loss"), "remove it", key=True)
    if spec.consistency != "leased":
        return
    where, hint = (*path, "consistency"), "write synced"
    if spec.algorithm == "token_bucket":
        f.error("P313", "a token bucket cannot be leased: leases are of hits in a window", where, hint)
    elif spec.buckets > 1:
        f.error("P313", "a window with buckets cannot be leased", where, "remove buckets, or write synced")
    if f.spec.consume == "always":
        message = "a limit that counts what it denies cannot be leased: it would be granted what nobody may use"
        f.error("P313", message, where, "write synced, or another `consume`")
    if spec.count == "scan_score" or spec.score_cost:
        f.error("P313", "a score cannot be leased: it is known only after the request was let in", where, hint)
