"""Two engines on the same requests: who logged what, and which differences have a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from .causes import CAUSES
from .codings import decoded
from .message import Engine, Request
from .mutate import Mutant

LISTED = Path(__file__).with_name("differences.yaml")
Side = Literal["ours", "oracle"]


@dataclass(frozen=True)
class Listed:
    """A difference that has a reason. `rules` is empty for any rule."""

    rules: frozenset[int]
    when: str
    side: str
    reason: str

    def excuses(self, rule: int, side: Side, request: Request) -> bool:
        known = not self.rules or rule in self.rules
        return known and self.side in (side, "either") and CAUSES[self.when](request)


@dataclass(frozen=True)
class Difference:
    """A request that the engines disagree on: the rules that one alone logged and nothing excuses."""

    name: str
    request: Request
    ours: frozenset[int]
    oracle: frozenset[int]

    def __str__(self) -> str:
        request = f"{self.request.method} {self.request.uri!r} {self.request.body[:300]!r}"
        return f"{self.name}: ours {sorted(self.ours)}, oracle {sorted(self.oracle)}\n  {request}"


def listed(entries: Iterable[dict[str, Any]] | None = None) -> list[Listed]:
    """The entries of differences.yaml, checked."""
    found = []
    for entry in YAML(typ="safe").load(LISTED) if entries is None else entries:
        assert entry.keys() == {"rules", "when", "side", "reason"}, entry
        assert entry["when"] in CAUSES, f"causes.py has no {entry['when']}"
        assert entry["side"] in ("ours", "oracle", "either"), entry
        assert entry["reason"].strip(), entry
        rules = frozenset() if entry["rules"] == "any" else frozenset(entry["rules"])
        found.append(Listed(rules, entry["when"], entry["side"], entry["reason"]))
    return found


def differences(ours: Engine, oracle: Engine, mutants: Iterable[Mutant], known: list[Listed]) -> list[Difference]:
    found = []
    for mutant in mutants:
        # The library looks at compressed bytes as they are, we at what is in them.
        a, b = ours(mutant.request), oracle(decoded(mutant.request) or mutant.request)
        request = mutant.request
        only_ours = frozenset(r for r in a - b if not any(k.excuses(r, "ours", request) for k in known))
        only_oracle = frozenset(r for r in b - a if not any(k.excuses(r, "oracle", request) for k in known))
        if only_ours or only_oracle:
            found.append(Difference(mutant.name, request, only_ours, only_oracle))
    return found


def summary(found: list[Difference], shown: int = 20) -> str:
    """What to work on: how often each rule differs, then the first few requests."""
    ours = Counter(rule for difference in found for rule in difference.ours)
    oracle = Counter(rule for difference in found for rule in difference.oracle)
    head = f"{len(found)} differ; only ours: {dict(ours.most_common())}; only oracle: {dict(oracle.most_common())}"
    return "\n".join([head, *map(str, found[:shown])])
