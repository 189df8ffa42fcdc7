"""Penalties."""

from __future__ import annotations

from ratelimitd.policy import names, units
from ratelimitd.policy.checks.conditions import check_match
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.checks.keys import check_key
from ratelimitd.policy.checks.scan import SCAN_HINT, scan_is_on
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import PenaltySpec, TriggerSpec

MAX_STEPS = 8  # BAN_MAX_STEPS of the engine
MAX_TRIGGERS = 4  # SNAPSHOT_MAX_TRIGGERS
MAX_BAN_MS = 366 * 86_400_000


def check_penalties(f: Findings) -> None:
    for name, spec in f.spec.penalties.items():
        path: Path = ("penalties", name)
        check_match(f, spec.match, (*path, "match"))
        check_key(f, spec, path)
        if not spec.key and f.whole((*path, "key")):
            f.error("P326", f"penalty '{name}' would ban everybody", (*path, "key"), "name a part, like client.ip")
        for index, trigger in enumerate(spec.after):
            check_trigger(f, spec, trigger, (*path, "after", index))
        check_spans(f, spec, path)


def check_spans(f: Findings, spec: PenaltySpec, path: Path) -> None:
    """The times of a penalty, and how many of them the engine keeps."""
    for key, items, most in (("ban", spec.ban, MAX_STEPS), ("after", spec.after, MAX_TRIGGERS)):
        if len(items) > most:
            f.error("P205", f"at most {most} in {key}", (*path, key))
    if not spec.ban and f.whole((*path, "ban")):
        f.error("P326", f"penalty '{path[-1]}' bans for no time", (*path, "ban"), "like `ban: 10m`")
    for index, step in enumerate(spec.ban):
        if not 1 <= step <= MAX_BAN_MS:
            f.error("P303", f"a ban lasts 1ms to {units.format_duration(MAX_BAN_MS)}", (*path, "ban", index))
    if spec.forgive is None:
        return
    if not 1 <= spec.forgive <= units.MAX_WINDOW_MS:
        longest = units.format_duration(units.MAX_WINDOW_MS)
        f.error("P303", f"forgive is 1ms to {longest}", (*path, "forgive"))
    window = max((trigger.within for trigger in spec.after), default=0)
    if spec.forgive < window and f.whole((*path, "after")):
        message = "denials would be forgiven while they still count"
        f.error("P326", message, (*path, "forgive"), f"at least {units.format_duration(window)}, the longest `within`")


def check_trigger(f: Findings, penalty: PenaltySpec, spec: TriggerSpec, path: Path) -> None:
    if spec.denials is None and spec.score is None and f.whole(path):
        f.error("P326", "asks for nothing", path, "like {denials: 10, within: 5m}, or {score: 50, within: 10m}")
    if not 1 <= spec.within <= units.MAX_WINDOW_MS:
        longest = units.format_duration(units.MAX_WINDOW_MS)
        f.error("P303", f"a window lasts 1ms to {longest}", (*path, "within"))
    if spec.of is not None and spec.denials is None and f.whole((*path, "denials")):
        f.error("P326", "`of` says whose denials count, and none are asked for", (*path, "of"), "add denials", key=True)
    if spec.of == [] and f.whole((*path, "of")):
        f.error("P326", "nobody's denials count", (*path, "of"), "remove it to count all")
    scan_off = not scan_is_on(f) and f.whole(("scan",))
    if spec.score is not None and scan_off:
        f.warning("P404", "this never comes: the scan is off", (*path, "score"), SCAN_HINT)
    for index, text in enumerate(spec.of or ()):
        kind, name = names.parse_objector(text) or ("", "")
        place = (*path, "of", index)
        if kind == "scan" and scan_off:
            f.warning("P404", "this never comes: the scan is off", place, SCAN_HINT)
        if kind == "limit" and name not in f.spec.limits and f.whole(("limits", name)):
            f.error("P327", f"no limit '{name}'", place, names.did_you_mean(name, f.spec.limits))
        elif kind == "limit" and name in f.spec.limits and f.whole(("limits", name, "mode")):
            watched = f.spec.limits[name].mode == "shadow" and penalty.mode != "shadow" and f.spec.mode != "shadow"
            if watched:
                f.warning("P404", f"limit '{name}' is only watched: it denies nothing", place, "or watch the penalty")
