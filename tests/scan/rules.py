"""Short ways to write rules and to scan, for the tests of this directory."""

from __future__ import annotations

from typing import Any

from ratelimitd._ext.scan import probe
from ratelimitd.policy.plan import Rule, Target, TargetRef, Transformation


def rule(rule_id: str, *patterns: bytes, on: str = "args", chain: tuple[Transformation, ...] = (), **more: Any) -> Rule:
    """on: "args !args:password headers:user-agent"."""
    refs = []
    for word in on.split():
        kind, _, name = word.lstrip("!").partition(":")
        refs.append(TargetRef(Target[kind.upper()], name.encode(), word.startswith("!")))
    return Rule(rule_id.encode(), patterns, tuple(refs), chain, **{"score": 5, **more})


def found(rules: list[Rule], **request: Any) -> list[tuple[str, str]]:
    """(rule, target) of each match."""
    answer = probe.Program(rules).scan(request)
    return [(rule_id.decode(), target.decode()) for rule_id, target, _ in answer["matches"]]
