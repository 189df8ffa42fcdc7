"""The built-in rules as a policy runs them: bodies under every reading, and denied at the default threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ratelimitd
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Program
from ratelimitd.waf.seclang import load

from ...databases import compiling
from ..message import Request

RULES = Path(ratelimitd.__file__).parent / "waf" / "rules" / "builtin.conf"
DECISION = 1009900


@dataclass(frozen=True)
class Verdict:
    """`rules`: those that fired, without the one that only sums up."""

    rules: frozenset[int]
    denied: bool
    score: int


@cache
def program() -> Program:
    return compile_rules(load([RULES]))


@cache
def engine() -> Any:
    from ratelimitd._ext.waf.probe import Program as Native

    with compiling() as databases:
        return Native(program(), databases)


def as_asked(request: Request) -> dict[str, Any]:
    """The request as the native engine takes it."""
    return {
        "method": request.method.encode(),
        "path": request.uri,
        "protocol": request.version.encode(),
        "headers": list(request.headers),
        "body": request.body,
        "source_address": b"192.0.2.1",
    }


def judge(request: Request) -> Verdict:
    said = engine().run(as_asked(request))
    return Verdict(frozenset(f["rule"] for f in said["fired"]) - {DECISION}, said["denied"], said["score"])
