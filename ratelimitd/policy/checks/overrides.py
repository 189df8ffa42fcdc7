"""Other rates for some keys."""

from __future__ import annotations

from ratelimitd.policy import units
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.checks.rate import check_bucket_rate
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import LimitSpec, OverrideSpec


def check_override(f: Findings, spec: LimitSpec, pattern: str, override: OverrideSpec, path: Path) -> None:
    if not f.whole((*path[:-2], "algorithm")):
        return
    bucket = spec.algorithm == "token_bucket"
    wanted = ("rate", "burst") if bucket else ("limit",)
    for key in ("limit", "rate", "burst"):
        if getattr(override, key) is not None and key not in wanted:
            what = "a token bucket" if bucket else "a window"
            f.error("P308", f"{key} does not fit {what}", (*path, key), f"use {' or '.join(wanted)}", key=True)
    given = [key for key in wanted if getattr(override, key) is not None]
    if override.unlimited == bool(given):
        if given or f.whole(path):
            what = " or ".join((*wanted, "unlimited"))
            f.error("P308", f"override '{pattern[:64]}' needs one of {what}", path, key=True)
    elif bucket and given and f.whole(path) and (rate := override.rate or spec.rate):
        check_bucket_rate(f, rate, override.burst, (*path, given[0]))


def check_overrides(f: Findings, spec: LimitSpec, path: Path) -> None:
    """Do the patterns fit the key?"""
    if not spec.overrides or not f.whole((*path[:-1], "key")):
        return
    if not spec.key:
        f.error("P308", "overrides need a key", path, key=True)
        return
    seen: dict[str, str] = {}
    for pattern in spec.overrides:
        place = (*path, pattern)
        if spec.key == ["client.ip"]:
            if "*" in pattern:
                f.error(
                    "P308",
                    f"'{pattern[:64]}': addresses are matched by network",
                    place,
                    "write a network like 10.0.0.0/8",
                    key=True,
                )
                continue
            try:
                network = str(units.parse_network(pattern))
            except units.HostBitsError as error:
                f.error("P207", str(error), place, f"write {error.fixed}", key=True)
                continue
            except ValueError as error:
                f.error("P207", str(error), place, key=True)
                continue
            if network in seen:
                f.error(
                    "P308", f"'{pattern}' and '{seen[network]}' are the same network", place, "remove one", key=True
                )
            seen[network] = pattern
        elif "*" not in pattern and pattern.count("|") < len(spec.key) - 1:
            hint = f"join the {len(spec.key)} parts of the key by '|', like {'|'.join('*' for _ in spec.key)}"
            f.error("P308", f"'{pattern[:64]}' can never be a key of this limit", place, hint, key=True)
