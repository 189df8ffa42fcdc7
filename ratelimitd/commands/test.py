"""`ratelimitd test`: the policy's own cases, each on an engine of its own and a fake clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from ratelimitd import trial
from ratelimitd.commands.output import compiling, console, print_json
from ratelimitd.policy import Policy, load_policy
from ratelimitd.policy.cases import CaseResult, run_case
from ratelimitd.summary import plural


def results(policy: Policy, cache_dir: str | None) -> Iterator[CaseResult]:
    with trial.checkers(policy.plan, cache_dir) as fresh:
        for case in policy.cases:
            with compiling():
                checker = fresh()
            yield run_case(case, checker)


def run(path: Path, *, as_json: bool, cache_dir: str | None = None) -> int:
    policy = load_policy(path)
    began = time.perf_counter()
    if as_json:
        done = list(results(policy, cache_dir))
        print_json(_report(done, time.perf_counter() - began))
    else:
        out = console()
        done = _watch(policy, out, cache_dir)
        _print_summary(out, done, time.perf_counter() - began, path)
    return int(any(not r.passed for r in done))


def _watch(policy: Policy, out: Console, cache_dir: str | None) -> list[CaseResult]:
    """Prints each result as it comes, under a bar on a terminal."""
    done = []
    with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("testing", total=len(policy.cases))
        for result in results(policy, cache_dir):
            done.append(result)
            _print_result(out, result, several=len(policy.plan.domains) > 1)
            progress.advance(task)
    return done


def _requests(result: CaseResult) -> int:
    return sum(step.repeat for step in result.case.steps)


def _print_result(out: Console, result: CaseResult, *, several: bool) -> None:
    mark = ("pass", "green") if result.passed else ("FAIL", "bold red")
    name = f"{result.case.domain}: {result.case.name}" if several else result.case.name
    count = _requests(result)
    out.print(Text.assemble(mark, "  ", name, (f"  {plural(count, 'request')}", "dim")))
    for difference in result.differences:
        out.print(Text(f"      {difference}", "red"))


def _print_summary(out: Console, done: list[CaseResult], seconds: float, path: Path) -> None:
    if not done:
        out.print(f"{path} has no tests: add them under its `tests` key", markup=False)
        return
    failed = sum(not r.passed for r in done)
    took = f"in {seconds:.2f} s"
    if failed:
        out.print(Text.assemble("\n", (f"{failed} failed", "bold red"), f", {len(done) - failed} passed {took}"))
    else:
        out.print(Text.assemble("\n", (f"{len(done)} passed", "bold green"), f" {took}"))


def _report(done: list[CaseResult], seconds: float) -> dict[str, object]:
    return {
        "passed": sum(r.passed for r in done),
        "failed": sum(not r.passed for r in done),
        "seconds": round(seconds, 3),
        "cases": [
            {
                "domain": r.case.domain,
                "name": r.case.name,
                "passed": r.passed,
                "requests": _requests(r),
                "differences": list(r.differences),
            }
            for r in done
        ],
    }
