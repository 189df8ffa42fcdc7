"""What limits and penalties count by."""

from __future__ import annotations

from ratelimitd.policy import globs, names
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.plan import Source
from ratelimitd.policy.schema import ConditionSpec, LimitSpec, PenaltySpec


def check_key(f: Findings, spec: LimitSpec | PenaltySpec, path: Path) -> None:
    if spec.key is None and f.whole((*path, "key")):
        f.warning(
            "P402",
            f"limit '{path[-1]}' has no key: all requests share one counter",
            path,
            "write `key: []` if you mean it",
            key=True,
        )
    if spec.key is not None and len(spec.key) > 8:
        f.error("P205", "a key has at most 8 parts", (*path, "key"))
    for index, part in enumerate(spec.key or ()):
        place = (*path, "key", index)
        if part in (spec.key or ())[:index]:
            f.error("P308", f"'{part}' is in the key twice", place, "remove one")
        parsed = names.parse_source(part, key=True)
        if parsed is None or parsed[0] is not Source.PATH_PARAM or not f.whole((*path, "match")):
            continue
        if not bound(spec, name := parsed[1].decode()):
            hint = f"match a path with {{{name}}} in it, like /users/{{{name}}}/*"
            what = "limit" if isinstance(spec, LimitSpec) else "penalty"
            f.error("P304", f"path parameter '{name}' is not bound by the {what}'s path", place, hint)


def bound(spec: LimitSpec | PenaltySpec, name: str) -> bool:
    """Does every request that it matches have this path parameter?"""

    def binds(condition: ConditionSpec | None) -> bool:
        values = [] if condition is None else condition.glob if condition.glob is not None else condition.any
        return bool(values) and all(name in globs.parameters(value) for value in values or ())

    return bool(spec.match) and all(binds(mapping.get("path")) for mapping in spec.match or ())
