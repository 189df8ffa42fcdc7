"""Our engine in process, with the Core Rule Set at paranoia 1: what benchmarks/peers runs, run by us.

    python -m benchmarks.core_rules --crs DIR [--seconds 1] [--repeats 3]

Prints {"engine": name, "requests": {name: {"cpu_us": per request, "blocked": bool}}}.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import load

from .servers import ROOT
from .waf_requests import Request, requests

SETUP = ROOT / "benchmarks" / "waf.conf"
CACHE = ROOT / "build" / "databases"
BODY_LIMIT = 1 << 20


def program(crs: Path) -> Program:
    rules = load([SETUP, crs / "crs-setup.conf.example", crs / "rules"])
    return Program(compile_rules(rules), CACHE)


def asked(request: Request) -> dict[str, object]:
    return {
        "method": request.method,
        "path": request.uri,
        "protocol": "HTTP/1.1",
        "source_address": "203.0.113.7",
        "headers": list(request.headers),
        "body": request.body,
    }


def cpu_us(engine: Program, request: Request, seconds: float) -> float:
    """CPU microseconds of one request, over about `seconds` of them."""
    once = max(engine.time(asked(request), 10, BODY_LIMIT), 1e-7)
    return engine.time(asked(request), max(10, int(seconds / once)), BODY_LIMIT) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crs", type=Path, required=True, help="the Core Rule Set's folder")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn of one request")
    parser.add_argument("--repeats", type=int, default=3, help="turns; the median counts")
    options = parser.parse_args()
    engine = program(options.crs)
    figures = {
        request.name: {
            "blocked": engine.run(asked(request), BODY_LIMIT)["denied"],
            "cpu_us": statistics.median(cpu_us(engine, request, options.seconds) for _ in range(options.repeats)),
        }
        for request in requests()
    }
    print(json.dumps({"engine": "ratelimitd", "requests": figures}))


if __name__ == "__main__":
    main()
