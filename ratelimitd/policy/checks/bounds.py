"""What one check of the engine looks at is bounded."""

from __future__ import annotations

from collections.abc import Mapping

from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.schema import LimitSpec, PenaltySpec

MAX_APPLYING = 32  # TABLE_MAX_HITS of the engine


def check_counts(f: Findings) -> None:
    """What the engine looks at in one check is bounded: nothing may fall beyond that unseen."""
    if len(f.spec.lists) > MAX_APPLYING and any(item.match is not None for item in f.spec.lists.values()):
        message = f"{len(f.spec.lists)} lists: at most {MAX_APPLYING} where one has a match"
        f.error("P319", message, ("lists",), "put more networks into one list", key=True)
    kinds: tuple[tuple[str, Mapping[str, LimitSpec | PenaltySpec]], ...]
    kinds = (("limits", f.spec.limits), ("penalties", f.spec.penalties))
    for kind, items in kinds:
        always = [
            name
            for name, item in items.items()
            if (item.match is None or {} in item.match) and f.whole((kind, name, "match"))
        ]
        if len(always) > MAX_APPLYING:
            message = f"{len(always)} {kind} apply to every request: at most {MAX_APPLYING}"
            f.error("P319", message, (kind, always[MAX_APPLYING]), "give some a match", key=True)
