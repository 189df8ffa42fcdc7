"""Lists of networks."""

from __future__ import annotations

from ratelimitd.policy import units
from ratelimitd.policy.checks.conditions import check_match
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import ListSpec


def check_lists(f: Findings) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for name, spec in f.spec.lists.items():
        path: Path = ("lists", name)
        check_match(f, spec.match, (*path, "match"))
        action_known = f.whole((*path, "allow"), (*path, "deny"))
        if (spec.allow is None) == (spec.deny is None):
            if spec.allow is not None or action_known:
                hint = "write two lists for both"
                f.error("P309", f"list '{name}' needs one of allow and deny", path, hint, key=True)
            continue
        action = "allow" if spec.deny is None else "deny"
        if action == "allow" and "status" in spec.model_fields_set and f.whole((*path, "deny")):
            f.error("P309", "an allow list has no status", (*path, "status"), "remove it", key=True)
        networks = spec.allow if spec.deny is None else spec.deny
        if not networks and action_known:
            f.warning("P404", f"list '{name}' is empty", (*path, action))
        if spec.match is None and f.whole((*path, "match")):
            check_networks(f, name, spec, (*path, action), seen)


def check_networks(f: Findings, name: str, spec: ListSpec, path: Path, seen: dict[str, tuple[str, str]]) -> None:
    """Is a network already in a list, of those without a match? `seen`: network -> (action, list)."""
    action = str(path[-1])
    for index, text in enumerate((spec.allow if spec.deny is None else spec.deny) or ()):
        network = str(units.parse_network(text))
        if network in seen:
            before, other = seen[network]
            report = f.error if before != action else f.warning
            code = "P310" if before != action else "P405"
            message = f"{network} is already in list '{other}' ({before}), which wins"
            report(code, message, (*path, index), "remove one")
        elif spec.mode == "enforce" and f.whole((*path[:-1], "mode")):
            seen[network] = (action, name)
