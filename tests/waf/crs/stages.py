"""The suite's stages: what is sent, what is expected, and who can judge it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..message import Request, Response
from .ruleset import UNPARSED
from .wire import request_of, response_of

# request: a Check can express it; response: its rules look at the answer; status: expects only the server's own
# refusal; log: expects a text in the log (it is judged by the rule that writes it).
Kind = Literal["request", "response", "status", "log"]


@dataclass(frozen=True)
class Stage:
    """`name` is RULE-TEST, with /N when a test has several stages; `rule` the rule that the test is of."""

    name: str
    rule: int
    kind: Kind
    request: Request
    response: Response | None
    expected: frozenset[int]
    unexpected: frozenset[int]
    instead: frozenset[int]  # any one of them stands for what is expected
    about: str

    def faults(self, fired: frozenset[int]) -> str:
        """What is wrong with the rules that fired; empty when nothing is."""
        missing = [] if self.instead & fired else sorted(self.expected - fired)
        surplus = sorted(self.unexpected & fired)
        said = [f"missing {missing}"] if missing else []
        return ", ".join([*said, f"surplus {surplus}"] if surplus else said)


def expectation(rule: int, output: dict[str, Any]) -> tuple[Kind, frozenset[int], frozenset[int], frozenset[int]]:
    """(kind, expected, unexpected, instead) of a stage's `output`."""
    log = output.get("log") or {}
    none: frozenset[int] = frozenset()
    expected, unexpected = frozenset(log.get("expect_ids", ())), frozenset(log.get("no_expect_ids", ()))
    if expected or unexpected:
        return "request", expected, unexpected, none
    for key, positive in (("match_regex", True), ("no_match_regex", False)):
        if pattern := log.get(key):
            named = frozenset(int(n) for n in re.findall(r'\\\[id "(\d+)"', pattern))
            ids = named or frozenset([rule])
            kind: Kind = "request" if named else "log"
            instead = frozenset([UNPARSED]) if "parsing error" in pattern else none
            return (kind, ids, none, instead) if positive else (kind, none, ids, none)
    return "status", none, none, none


def stages_of(path: Path) -> Iterator[Stage]:
    content = json.loads(path.read_text())
    rule = content["rule_id"]
    for test in content["tests"]:
        many = len(test["stages"]) > 1
        for number, stage in enumerate(test["stages"], 1):
            kind, expected, unexpected, instead = expectation(rule, stage["output"])
            request = request_of(stage["input"])
            response = None
            if path.parent.name.startswith("RESPONSE-"):
                kind, response = "response", response_of(request)
            name = f"{rule}-{test['test_id']}" + (f"/{number}" if many else "")
            yield Stage(
                name, rule, kind, request, response, expected, unexpected, instead, test.get("desc", "").strip()
            )


@cache
def load(tests: Path) -> tuple[Stage, ...]:
    """Every stage below the suite's `tests` folder, in the order of its files."""
    return tuple(stage for path in sorted(tests.glob("*/*.json")) for stage in stages_of(path))
