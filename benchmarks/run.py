"""`make bench`: every figure in one run, as a table and as JSON.

    python -m benchmarks.run [--only GROUP]... [--seconds 2] [--repeats 3] [--keys 10000000] [--json FILE]

Exit code 0 when every figure meets its target, 1 when one misses it or could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .bench import MANY_KEYS, Bench
from .figures import GROUPS, Figure
from .servers import BenchError

FILE_WIDTH = 110  # of a table that goes to a file: one line per figure

Failures = dict[str, str]  # group: why it has no figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="How fast: every figure of the README in one run.")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="this group; repeatable")
    parser.add_argument("--seconds", type=float, default=2, help="of one load (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each server (default 3)")
    parser.add_argument("--keys", type=int, default=MANY_KEYS, help="live keys of the large table (default 10 million)")
    parser.add_argument(
        "--minutes", type=float, default=8, help="groups that would start later are left out (default 8)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures for programs")
    options = parser.parse_args(arguments)
    if options.seconds <= 0 or options.repeats < 1 or options.keys < 1:
        parser.error("--seconds, --repeats and --keys must be above 0")
    return options


def measure(options: argparse.Namespace, console: Console) -> tuple[dict[str, list[Figure]], Failures]:
    """Runs the groups one after the other; a group that fails does not stop the others."""
    figures: dict[str, list[Figure]] = {}
    failures: Failures = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ratelimitd-bench-") as directory, console.status("building") as status:

        def say(text: str) -> None:
            status.update(f"{time.monotonic() - began:4.0f} s  {text}")

        bench = Bench(Path(directory), options.seconds, options.repeats, options.keys, say)
        for name in options.only or GROUPS:
            if time.monotonic() - began > options.minutes * 60:
                failures[name] = f"left out: the run took {options.minutes:g} minutes before it"
                continue
            try:
                figures[name] = list(GROUPS[name](bench))
            except (BenchError, OSError) as error:
                failures[name] = str(error)
            say(f"{name}: {'failed' if name in failures else 'done'}")
            console.print(status.status)
    return figures, failures


def number(value: float) -> str:
    """Three or more digits, as many as mean something."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def target(figure: Figure) -> str:
    if figure.at_least is not None:
        return f">= {number(figure.at_least)}"
    return "" if figure.at_most is None else f"<= {number(figure.at_most)}"


def table(figures: dict[str, list[Figure]]) -> Table:
    rows = Table(title="ratelimitd: how fast", title_justify="left")
    rows.add_column("figure")
    rows.add_column("actual", justify="right")
    rows.add_column("target", justify="right")
    rows.add_column("ok", justify="center")
    rows.add_column("note")
    marks = {True: "[green]yes[/]", False: "[red]NO[/]", None: ""}
    for group in figures.values():
        for f in group:
            rows.add_row(f.name, f"{number(f.actual)} {f.unit}".strip(), target(f), marks[f.ok], f.detail)
        rows.add_section()
    return rows


def as_json(figures: dict[str, list[Figure]], failures: Failures, options: argparse.Namespace) -> dict[str, Any]:
    cpus = len(os.sched_getaffinity(0))
    return {
        "machine": {"cpus": cpus, "architecture": platform.machine(), "kernel": platform.release()},
        "seconds": options.seconds,
        "repeats": options.repeats,
        "figures": [{"group": name, **asdict(f), "ok": f.ok} for name, group in figures.items() for f in group],
        "failures": failures,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(stderr=True)
    try:
        figures, failures = measure(options, console)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False)
        return 1
    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(table(figures))
    for name, why in failures.items():
        console.print(f"{name}: {why}", style="red", highlight=False, markup=False)
    if options.json:
        options.json.write_text(json.dumps(as_json(figures, failures, options), indent=2) + "\n")
    missed = any(f.ok is False for group in figures.values() for f in group)
    return 1 if missed or failures else 0


if __name__ == "__main__":
    sys.exit(main())
