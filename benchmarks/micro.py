"""In-process figures: what one decision costs without a socket, and how many instructions it is.

    python -m benchmarks.micro [--seconds 1] [--json FILE] [--instructions] [SCENARIO]...

Instructions are counted between two runs that differ only in their number of checks, so start-up cancels out: by
`perf stat` where the machine lets it, else by callgrind, whose count hardly varies and shows a change of 0.1 %.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ratelimitd._engine import Engine
from ratelimitd.policy import load_policy

from . import scenarios
from .servers import ROOT

NAMES = ("limits20", "limits10k", "rules50", "buckets20")
FEW, MANY = 1_000, 11_000  # checks in the two counted runs


@dataclass(frozen=True)
class Row:
    scenario: str
    what: str
    value: float
    unit: str


def in_process_request() -> dict[str, Any]:
    """The same request as `scenarios.envoy_request`, as Engine.check takes it."""
    return {
        "source_address": "10.0.0.7",
        "method": "GET",
        "path": scenarios.PATH + "?page=2&sort=price",
        "host": "shop.example.com",
        "scheme": "https",
        "headers": [(name, value) for name, value in scenarios.HEADERS if not name.startswith(":")],
    }


def loaded_engine(policy: Path) -> Engine:
    engine = Engine(workers=1)
    engine.swap(load_policy(policy).plan)
    return engine


def looper(engine: Engine) -> tuple[str, Callable[[int], None]]:
    """How to run n checks: the engine's own loop where it has one, else check by check through Python."""
    request = in_process_request()
    bench: Callable[[dict[str, Any], int], object] | None = getattr(engine, "bench", None)
    if bench is not None:
        loop = bench
        return "native loop", lambda n: void(loop(request, n))

    def by_python(n: int) -> None:
        for _ in range(n):
            engine.check(request)

    return "Engine.check", by_python


def void(_: object) -> None:
    return None


def nanoseconds(run: Callable[[int], None], seconds: float) -> float:
    """Per check: the best of five stretches, for noise only ever adds."""
    count = 100
    while True:
        began = time.perf_counter()
        run(count)
        spent = time.perf_counter() - began
        if spent > seconds / 10:
            break
        count *= 2
    best = min(timed(run, count) for _ in range(5))
    return best / count * 1e9


def timed(run: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def perf_works() -> bool:
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True)
    return done.returncode == 0 and done.stderr[:1].isdigit()


def counted(policy: Path, checks: int, use_perf: bool) -> int:
    """User instructions of a process that runs `checks` checks and ends."""
    inner = [sys.executable, "-m", "benchmarks.micro", "--loop", str(policy), str(checks)]
    if use_perf:
        command = ["perf", "stat", "-x,", "-e", "instructions:u", *inner]
    else:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *inner]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    found = re.search(r"^(\d+)," if use_perf else r"Collected : (\d+)", done.stderr, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"cannot count instructions:\n{done.stderr[-2000:]}")
    return int(found[1])


def instructions(policy: Path) -> float:
    use_perf = perf_works()
    if not use_perf and shutil.which("valgrind") is None:
        raise SystemExit("--instructions needs perf with hardware counters, or valgrind")
    return (counted(policy, MANY, use_perf) - counted(policy, FEW, use_perf)) / (MANY - FEW)


def measure(policy: Path, options: argparse.Namespace) -> Iterator[Row]:
    began = time.perf_counter()
    engine = loaded_engine(policy)
    yield Row(policy.stem, "load, compile, swap", (time.perf_counter() - began) * 1000, "ms")
    name, run = looper(engine)
    yield Row(policy.stem, name, nanoseconds(run, options.seconds), "ns/check")
    if options.instructions:
        yield Row(policy.stem, f"{name}, instructions", instructions(policy), "/check")


def show(rows: Sequence[Row]) -> None:
    table = Table()
    for heading in ("scenario", "what", "value"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for row in rows:
        table.add_row(row.scenario, row.what, f"{row.value:,.0f} {row.unit}")
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="micro", description="What a decision costs in process.")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=1, help="per figure (default 1)")
    parser.add_argument("--instructions", action="store_true", help="count instructions per check too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--loop", nargs=2, metavar=("POLICY", "CHECKS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.scenario) - set(NAMES):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}: one of {', '.join(NAMES)}")
    if options.loop:
        looper(loaded_engine(Path(options.loop[0])))[1](int(options.loop[1]))
        return 0
    with tempfile.TemporaryDirectory(prefix="ratelimitd-micro-") as directory:
        paths = scenarios.write_all(Path(directory))
        rows = [row for name in options.scenario or NAMES for row in measure(paths[name], options)]
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
