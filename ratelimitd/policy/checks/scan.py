"""What is scanned, and how."""

from __future__ import annotations

from ratelimitd.policy import names
from ratelimitd.policy.checks.conditions import check_match
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.checks.rules import check_id, check_rule, ids_of, rules_known, tags_of
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import ExcludeSpec, ProfileSpec, RulesetSpec, ScanSpec

SCAN_HINT = "add scan: {mode: detect, rulesets: [builtin]}"


def scan_is_on(f: Findings) -> bool:
    scan = f.spec.scan
    return scan.mode != "off" or any(route.mode not in ("off", None) for route in scan.routes)


def check_scan(f: Findings) -> None:
    scan = f.spec.scan
    seen: dict[str, Path] = {}
    check_way(f, scan, ("scan",), seen)
    for name, profile in scan.profiles.items():
        check_way(f, profile, ("scan", "profiles", name), seen)
    for index, text in enumerate(scan.disable):
        if f.known.complete:
            check_known(f, text, f.known.ids, ("scan", "disable", index))
    for index, route in enumerate(scan.routes):
        path: Path = ("scan", "routes", index)
        check_match(f, route.match, (*path, "match"))
        if route.profile is not None and route.profile not in scan.profiles and f.whole(("scan", "profiles")):
            hint = names.did_you_mean(route.profile, scan.profiles)
            f.error("P322", f"no profile '{route.profile}'", (*path, "profile"), hint)
        if route.mode is None and route.profile is None and f.whole(path):
            f.warning("P404", "this route changes nothing", path, "give it a mode or a profile", key=True)
    if scan.profile_attribute is not None and not scan.profiles and f.whole(("scan", "profiles")):
        message, hint = "profile_attribute has no effect: there are no profiles", "add some, or remove it"
        f.warning("P404", message, ("scan", "profile_attribute"), hint, key=True)
    check_rules_to_scan(f, scan)


def check_rules_to_scan(f: Findings, scan: ScanSpec) -> None:
    on = scan_is_on(f)
    known = all(f.whole(("scan", key)) for key in ("rulesets", "rules", "profiles"))
    if on and known and not any((w.rules or w.rulesets) for w in (scan, *scan.profiles.values())):
        f.warning("P404", "scan has no rules", ("scan",), "add `rulesets: [builtin]`, or rules", key=True)
    for name, limit in f.spec.limits.items():
        key = "count" if limit.count == "scan_score" else "score_cost"
        if (key == "count" or limit.score_cost) and not on and f.whole(("scan",)):
            message = f"limit '{name}' counts what the scan finds, and the scan is off"
            f.warning("P404", message, ("limits", name, key), SCAN_HINT)


def check_way(f: Findings, way: ProfileSpec, path: Path, seen: dict[str, Path]) -> None:
    """Scan itself, or one of its profiles. `seen`: ids of short rules so far."""
    for index, item in enumerate(way.rulesets or ()):
        check_ruleset(f, item, (*path, "rulesets", index))
    check_paranoia(f, way, path)
    for index, rule in enumerate(way.rules):
        place = (*path, "rules", index)
        if f.whole((*place, "id")):
            check_id(f, rule, (*place, "id"), seen)
        check_rule(f, rule, place)
    for index, excluded in enumerate(way.exclude):
        check_exclusion(f, excluded, (*path, "exclude", index))
    for text in way.rule_modes:
        check_span(f, text, (*path, "rule_modes", text), key=True)


def check_ruleset(f: Findings, item: RulesetSpec, path: Path) -> None:
    kinds = [key for key in ("name", "crs", "seclang") if getattr(item, key) is not None]
    if len(kinds) != 1 and f.whole(path):
        f.error("P323", "a rule set is one of builtin, {crs: DIR} and {seclang: FILES}", path, "keep one")
    if item.setup is not None and item.crs is None and f.whole(path):
        f.error(
            "P323", "setup belongs to crs", (*path, "setup"), "list the file in seclang, before the others", key=True
        )


def check_paranoia(f: Findings, way: ProfileSpec, path: Path) -> None:
    scan = f.spec.scan
    blocking = way.paranoia if way.paranoia is not None else scan.paranoia
    if way.detection_paranoia is not None and way.detection_paranoia < (blocking or 1):
        message = f"detection_paranoia {way.detection_paranoia} is below paranoia {blocking}"
        f.error("P324", message, (*path, "detection_paranoia"), "rules that count must run: raise it, or remove it")
    elif way.paranoia is not None and way.detection_paranoia is None and way.paranoia > (scan.detection_paranoia or 4):
        message = f"paranoia {way.paranoia} is above detection_paranoia {scan.detection_paranoia} of scan"
        f.error("P324", message, (*path, "paranoia"), "give the profile a detection_paranoia of its own")


def check_exclusion(f: Findings, item: ExcludeSpec, path: Path) -> None:
    check_match(f, item.match, (*path, "match"))
    if not (item.rules or item.tags or item.targets) and f.whole(path):
        f.error("P325", "an exclusion of nothing", path, "name rules, tags or targets")
    for index, text in enumerate(item.rules):
        check_span(f, text, (*path, "rules", index))
    for index, tag in enumerate(item.tags):
        if rules_known(f) and tag not in tags_of(f):
            f.error(
                "P316", f"no rule has the tag '{tag[:64]}'", (*path, "tags", index), names.did_you_mean(tag, tags_of(f))
            )


def check_span(f: Findings, text: str, path: Path, *, key: bool = False) -> None:
    """Does an id, or a range of ids, mean a rule that there is?"""
    if rules_known(f):
        check_known(f, text, ids_of(f), path, key=key)


def check_known(f: Findings, text: str, known: dict[str, str], path: Path, *, key: bool = False) -> None:
    span = names.parse_span(text)
    if span is not None and span.first != span.last:
        if not any(span.first <= int(name) <= span.last for name in known if name.isdigit()):
            f.error("P316", f"no rule in {text}", path, key=key)
    elif text not in known:
        f.error("P316", f"no rule '{text}'", path, names.rule_meant(text, known), key=key)
