"""What bounds the cost of the Core Rule Set: growth with a body's size, requests made to cost, memory of a profile.

    python -m benchmarks.waf_bounds --crs DIR [--seconds 1]

Prints {"growth": {name: cost of a byte in LARGE bytes over one in SMALL}, "hostile": {name: over a benign request of
its size}, "profile_bytes": resident memory of one more profile that shares its rules with others}.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import random
import statistics
from pathlib import Path

from ratelimitd._ext.waf.probe import Program

from ratelimitd._engine import Engine
from ratelimitd.policy import load_text

from .core_rules import CACHE, cpu_us, program
from .waf_hostile import FORM, JSON, multiples
from .waf_requests import SEED, Request, document, form, post

SMALL, LARGE = 16 * 1024, 128 * 1024
PROFILES = 8
TURNS = 3


def growing(size: int) -> dict[str, Request]:
    draw = random.Random(SEED)
    return {
        "JSON": post("JSON", "/a", JSON, document(draw, size)),
        "a form": post("a form", "/a", FORM, form(draw, size // 80, size)),
    }


def growth(engine: Program, seconds: float) -> dict[str, float]:
    """Median of turns, so that a busy moment of the machine does not count."""
    small, large = growing(SMALL), growing(LARGE)
    return {
        name: statistics.median(
            cpu_us(engine, large[name], seconds) / len(large[name].body)
            / (cpu_us(engine, small[name], seconds) / len(small[name].body))
            for _ in range(TURNS)
        )
        for name in small
    }  # fmt: skip


def policy(crs: Path, profiles: int) -> str:
    """Profiles that differ as those of a user do: by threshold, and by what they leave out."""
    more = {
        f"p{n}": {"threshold": 6 + n, "exclude": [{"rules": ["942100-942999"], "targets": f"args:note{n}"}]}
        for n in range(profiles)
    }
    scan = {"mode": "block", "rulesets": [{"crs": str(crs)}], "paranoia": 1, "profiles": more}
    routes = [{"match": {"path": f"/{name}/*"}, "profile": name} for name in more]
    return json.dumps({"version": 1, "domain": "bench", "scan": {**scan, "routes": routes}})


def resident() -> int:
    """Bytes, when what can be given back is."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def profile_bytes(crs: Path) -> float:
    """Plan and native form together, as a server holds them. The first turn is for what is made once."""
    engine = Engine(max_keys=1024)
    taken = []
    for turn in range(2):
        for count in (1, 1 + PROFILES):
            plan = load_text(policy(crs, count)).plan
            engine.swap(plan, cache_dir=str(CACHE))
            if turn:
                taken.append(resident())
    return (taken[1] - taken[0]) / PROFILES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crs", type=Path, required=True, help="the Core Rule Set's folder")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn of one request that grows")
    options = parser.parse_args()
    engine = program(options.crs)
    hostile = {request.name: times for times, request in multiples(engine)}
    found = {
        "growth": growth(engine, options.seconds),
        "hostile": hostile,
        "profile_bytes": profile_bytes(options.crs),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
