"""How much a limit lets pass, and in what time."""

from __future__ import annotations

from ratelimitd.policy import rates, units
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import LimitSpec


def check_rate(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.window is not None:
        check_length(f, spec, spec.window, (*path, "window"))
    if not f.whole((*path, "algorithm")):
        return
    if spec.algorithm == "token_bucket":
        check_bucket(f, spec, path)
    else:
        check_window(f, spec, path)


def check_length(f: Findings, spec: LimitSpec, window: int, where: Path) -> None:
    fixed = spec.algorithm == "fixed_window"
    most = units.MAX_FIXED_WINDOW_MS if fixed else units.MAX_WINDOW_MS
    if not 1 <= window <= most:
        hint = "" if fixed else f"a fixed window may last {units.format_duration(units.MAX_FIXED_WINDOW_MS)}"
        f.error("P303", f"a window lasts 1ms to {units.format_duration(most)}", where, hint if window > most else "")
    elif window > units.MAX_WINDOW_MS and window % 8:
        f.error("P303", "a window of more than 49 days lasts whole seconds", where)
    elif window > units.MAX_WINDOW_MS and spec.consistency == "leased":
        f.error("P313", "a window of more than 49 days cannot be leased", where, "write consistency: synced")


def check_window(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.buckets > 1 and spec.algorithm == "fixed_window":
        f.error("P302", "buckets belong to sliding windows", (*path, "buckets"), "remove it", key=True)
    for key in ("rate", "burst"):
        if getattr(spec, key) is not None:
            hint = "add `algorithm: token_bucket`, or write limit and window"
            f.error("P302", f"{key} belongs to token buckets", (*path, key), hint, key=True)
            return
    if spec.unlimited:
        if spec.limit is not None:
            f.error("P302", "unlimited and limit exclude each other", (*path, "limit"), "keep one", key=True)
    elif f.whole((*path, "unlimited")):
        for key, example in (("limit", "limit: 100"), ("window", "window: 1m")):
            if getattr(spec, key) is None and f.whole((*path, key)):
                f.error("P201", f"missing key '{key}'", path, f"like `{example}`", key=True)


def check_bucket(f: Findings, spec: LimitSpec, path: Path) -> None:
    for key in ("limit", "window"):
        if getattr(spec, key) is not None:
            f.error(
                "P302",
                f"a token bucket has no {key}",
                (*path, key),
                "write rate and burst, like rate: 500/s, burst: 2000",
                key=True,
            )
    if spec.buckets > 1:
        f.error("P302", "buckets belong to sliding windows", (*path, "buckets"), "remove it", key=True)
    if spec.rate is None:
        if f.whole((*path, "rate")):
            f.error("P201", "missing key 'rate'", path, "like `rate: 500/s`", key=True)
    elif f.whole((*path, "burst")):
        check_bucket_rate(f, spec.rate, spec.burst, (*path, "rate"))


def check_bucket_rate(f: Findings, rate: tuple[int, int], burst: int | None, path: Path) -> None:
    if rate[1] < 1 or rate[0] > units.MAX_COUNT:
        f.error("P303", f"a rate is at most {units.MAX_COUNT} hits in at least 1ms", path)
        return
    try:
        rates.bucket_rate(rate, burst)
    except ValueError as error:
        f.error("P303", str(error), path)
        return
    if (share := rates.rounding(rate, burst)) > 0.01:
        hint = "a larger burst is more exact"
        f.warning("P403", f"times are whole milliseconds: this rate will be off by {share * 100:.0f} %", path, hint)
