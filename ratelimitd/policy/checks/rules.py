"""Rules of the policy itself, and which others there are."""

from __future__ import annotations

from ratelimitd.policy import names
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.patterns import pattern_error
from ratelimitd.policy.schema import ProfileSpec, RuleSpec

BASE_IDS = dict.fromkeys(("200000", "200001", "200002", "200003", "200004"), "one of our own")


def ids_of(f: Findings) -> dict[str, str]:
    """Of every rule that there is, with where it stands when it is a rule set's."""
    ways = (f.spec.scan, *f.spec.scan.profiles.values())
    return {**BASE_IDS, **f.known.ids, **{rule.id: "" for way in ways for rule in way.rules}}


def tags_of(f: Findings) -> set[str]:
    ways = (f.spec.scan, *f.spec.scan.profiles.values())
    return f.known.tags | {tag for way in ways for rule in way.rules for tag in rule.tags}


def check_id(f: Findings, rule: RuleSpec, path: Path, seen: dict[str, Path]) -> None:
    if rule.id in f.known.ids:
        f.error("P311", f"rule {rule.id} is {f.known.ids[rule.id]}", path, "choose another id")
    elif rule.id in seen:
        line = f.document.position(seen[rule.id]).line
        f.error("P311", f"duplicate rule '{rule.id}'", path, f"it is first used on line {line}")
    seen.setdefault(rule.id, path)


def check_rule(f: Findings, rule: RuleSpec, path: Path) -> None:
    known = f.whole((*path, "pattern"), (*path, "patterns"))
    if (rule.pattern is None) == (rule.patterns is None) and (known or rule.pattern is not None):
        f.error("P312", f"rule '{rule.id}' needs one of pattern and patterns", path)
    if rule.patterns is not None and not rule.patterns and known:
        f.error("P312", f"rule '{rule.id}' has no pattern", (*path, "patterns"))
    if rule.action is None and rule.score == 0 and f.whole((*path, "action")):
        f.warning("P404", f"rule '{rule.id}' has no effect: its score is 0", (*path, "score"))
    if f.whole((*path, "targets")):
        check_targets(f, rule, (*path, "targets"))
    where = [("pattern",)] if rule.patterns is None else [("patterns", i) for i in range(len(rule.patterns))]
    for place, pattern in zip(where, patterns_of(rule), strict=False):
        if message := pattern_error(pattern, rule.ignore_case):
            f.error("P305", f"bad pattern: {message}", (*path, *place))


def check_targets(f: Findings, rule: RuleSpec, path: Path) -> None:
    targets = [ref for text in rule.targets if (ref := names.parse_target(text))]
    if not any(not ref.exclude for ref in targets):
        f.error("P312", f"rule '{rule.id}' looks at nothing", path, "name a target, like args")
    for index, ref in enumerate(targets):
        if ref.exclude and not any(r.target is ref.target and not r.exclude for r in targets):
            f.error("P312", f"'{rule.targets[index]}' leaves out what is not looked at", (*path, index))


def patterns_of(rule: RuleSpec) -> list[str]:
    return [*([rule.pattern] if rule.pattern is not None else []), *(rule.patterns or ())]


def rules_known(f: Findings) -> bool:
    """Do we know the id of every rule there is?"""
    ways: list[tuple[Path, ProfileSpec]] = [(("scan",), f.spec.scan)]
    ways += [(("scan", "profiles", name), profile) for name, profile in f.spec.scan.profiles.items()]
    for path, way in ways:
        ids = [(*path, "rules", index, "id") for index in range(len(way.rules))]
        if not f.document.whole((*path, "rules"), below=False) or not f.whole((*path, "rulesets"), *ids):
            return False
    return f.known.complete and f.document.whole(("scan", "profiles"), below=False)
