"""How often a windowed estimate decides otherwise than an exact sliding log, over bursty, seeded traces.

    python -m benchmarks.accuracy [--json FILE] [--seed 1]

Every key is decided from the same arrivals by the exact log (tests/model/log.py), by the two-bucket estimate and by
eight sub-buckets, in two ways. `all counted`: every hit counts, denied or not, so that only the estimate is judged; it
is how Cloudflare measured ("How we built rate limiting capable of scaling to millions of domains", 2017: 0.003 % of 400
million requests from 270,000 sources decided wrongly). `as served`: a denied hit is not counted, as our limits do, and
each decider lives with its own past; of a key that pushes against its limit, other hits pass than the log would have
let through, though about as many: see how many more or fewer passed.

The first trace is a population: nearly all keys stay far below the limit. The others are the hard cases alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ratelimitd._ext.limit import probe
from tests.model import log

LIMIT, WINDOW_MS = 100, 60_000
MINUTES = 20
CLOUDFLARE_PERCENT = 0.003
ESTIMATES = {"two-bucket": 1, "8 sub-buckets": 8}  # name to buckets
MODES = {"all counted": True, "as served": False}  # name to whether denied hits count


@dataclass(frozen=True)
class Trace:
    """Keys that burst: active for `on_ms` on average, then silent for `off_ms`; `rate` draws mean hits per window."""

    name: str
    keys: int
    rate: Callable[[random.Random], float]
    on_ms: float
    off_ms: float


def population_rate(draw: random.Random) -> float:
    """Two keys in a thousand are abusive; the others send one hit a window in the median, 22 one in a thousand."""
    return LIMIT * draw.uniform(1, 5) if draw.random() < 0.002 else draw.lognormvariate(0, 1)


TRACES = (
    Trace("population", 30_000, population_rate, 20_000, 60_000),
    Trace("about the limit", 300, lambda draw: LIMIT * draw.uniform(0.5, 1.2), 20_000, 20_000),
    Trace("far over the limit", 100, lambda draw: LIMIT * draw.uniform(2, 5), 30_000, 10_000),
)


def arrivals(trace: Trace, draw: random.Random) -> list[int]:
    """The ms at which one key's hits come, ascending."""
    start = 1_700_000_000_000 + draw.randrange(WINDOW_MS)
    burst_rate = trace.rate(draw) / WINDOW_MS * (trace.on_ms + trace.off_ms) / trace.on_ms
    now, end, hits = draw.uniform(0, trace.off_ms), MINUTES * 60_000, []
    while now < end:
        silent = now + draw.expovariate(1 / trace.on_ms)
        now += draw.expovariate(burst_rate)
        while now < min(silent, end):
            hits.append(start + int(now))
            now += draw.expovariate(burst_rate)
        now = silent + draw.expovariate(1 / trace.off_ms)
    return hits


@dataclass
class Tally:
    """Of one estimate over one trace."""

    checks: int = 0
    allowed: int = 0  # wrongly: the log denied
    denied: int = 0  # wrongly: the log allowed
    passed: int = 0
    truly_passed: int = 0

    def add(self, decided: bytes, exact: bytes) -> None:
        self.checks += len(exact)
        self.allowed += sum(d > e for d, e in zip(decided, exact, strict=True))
        self.denied += sum(d < e for d, e in zip(decided, exact, strict=True))
        self.passed += sum(decided)
        self.truly_passed += sum(exact)

    @property
    def percent(self) -> float:
        return 100 * (self.allowed + self.denied) / self.checks

    @property
    def rate_error(self) -> float:
        """By how many per cent more or fewer hits passed in all."""
        return 100 * (self.passed / self.truly_passed - 1)


def measure(trace: Trace, seed: int) -> dict[tuple[str, str], Tally]:
    draw = random.Random(f"{seed} {trace.name}")
    tallies = {(mode, name): Tally() for mode in MODES for name in ESTIMATES}
    for _ in range(trace.keys):
        hits = arrivals(trace, draw)
        for mode, count_denied in MODES.items():
            exact = log.replay(LIMIT, WINDOW_MS, hits, count_denied)
            for name, buckets in ESTIMATES.items():
                tallies[mode, name].add(probe.replay((LIMIT, WINDOW_MS, 0, buckets), hits, count_denied), exact)
    return tallies


def rows(seed: int) -> Iterator[dict[str, Any]]:
    for trace in TRACES:
        for (mode, name), tally in measure(trace, seed).items():
            yield {
                "name": f"decided differently, {trace.name}, {mode}, {name}",
                "percent": round(tally.percent, 5),
                "cloudflare_percent": CLOUDFLARE_PERCENT,
                "checks": tally.checks,
                "wrongly_allowed": tally.allowed,
                "wrongly_denied": tally.denied,
                "rate_error_percent": round(tally.rate_error, 3),
                "detail": f"Cloudflare: {CLOUDFLARE_PERCENT} %; wrongly {tally.allowed:,} allowed, "
                f"{tally.denied:,} denied of {tally.checks:,}; {tally.rate_error:+.2f} % passed",
            }


def show(figures: Sequence[dict[str, Any]]) -> None:
    table = Table()
    for heading in ("figure", "% of checks", "detail"):
        table.add_column(heading, justify="right" if heading.startswith("%") else "left")
    for row in figures:
        table.add_row(row["name"], f"{row['percent']:.4f}", row["detail"])
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="accuracy", description="Window estimates against an exact sliding log.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    figures = list(rows(options.seed))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
