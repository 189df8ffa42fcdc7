"""The two engines that judges compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import load, parse
from ratelimitd.waf.seclang.tree import Configuration

from ..databases import compiling
from .message import Engine, Request, Response


def configuration(sources: Sequence[str | Path]) -> Configuration:
    """Texts and files in order, as one."""
    parts = [parse(source.encode()) if isinstance(source, str) else load([source]) for source in sources]
    return Configuration(
        tuple(directive for part in parts for directive in part.directives),
        tuple(file for part in parts for file in part.files),
    )


def asked(request: Request) -> dict[str, Any]:
    """The request as our engine's probe takes it."""
    return {
        "method": request.method.encode(),
        "path": request.uri,
        "protocol": request.version.encode(),
        "headers": list(request.headers),
        "body": request.body,
        "source_address": b"127.0.0.1",
    }


class Ours:
    def __init__(self, sources: Sequence[str | Path]) -> None:
        from ratelimitd._ext.waf.probe import Program

        # libmodsecurity reads a body in one way; so do we where we are held against it.
        program = replace(compile_rules(configuration(sources)), every_reading=False)
        with compiling() as databases:
            self.program = Program(program, databases)

    def run(self, request: Request, response: Response | None = None, detect: bool = True) -> dict[str, Any]:
        """The result; with a response, that of its phases, and what the request has fired is in it too."""
        result: dict[str, Any] = self.program.run(asked(request), detect=detect)
        if response is not None:
            answered = {
                "status": response.status,
                "protocol": response.version.encode(),
                "headers": list(response.headers),
                "body": response.body,
            }
            fired = result["fired"]
            result = self.program.run_response(asked(request), answered, detect=detect)
            result["fired"] = fired + result["fired"]
        return result

    def __call__(self, request: Request, response: Response | None = None) -> frozenset[int]:
        return frozenset(fired["rule"] for fired in self.run(request, response)["fired"])


@cache
def built(sources: tuple[str | Path, ...]) -> Ours:
    return Ours(sources)


def ours(sources: Sequence[str | Path]) -> Engine:
    """Our engine on these sources."""
    return built(tuple(sources))


def oracle(sources: Sequence[str | Path]) -> Engine:
    """libmodsecurity on these sources; skips the test where its wheel does not exist."""
    pytest.importorskip("libmodsecurity", reason="libmodsecurity (PyPI) is not installed")
    from .oracle import Oracle

    return Oracle(sources)
