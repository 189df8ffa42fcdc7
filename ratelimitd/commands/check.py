"""`ratelimitd check`: every diagnostic of every file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ratelimitd.commands.output import compiling, console, print_diagnostics, print_json
from ratelimitd.errors import Diagnostic, EngineError, PolicyError
from ratelimitd.policy import load_policy
from ratelimitd.policy.plan import Plan
from ratelimitd.policy.refusal import refusal
from ratelimitd.policy.render import as_data
from ratelimitd.summary import counts, plural, summary


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one path. `plan` is None when it cannot be served."""

    path: Path
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    databases: int = 0


def examine(path: Path, cache_dir: str | None = None) -> Finding:
    """Loads, compiles, and lets the engine build it too: what passes here starts."""
    try:
        policy = load_policy(path)
    except PolicyError as error:
        return Finding(path, None, tuple(error.diagnostics))
    from ratelimitd import trial

    try:
        with compiling():
            _, databases = trial.built(policy.plan, cache_dir)
    except EngineError as error:
        return Finding(path, None, (*policy.warnings, *refusal(policy.sources, error)))
    return Finding(path, policy.plan, policy.warnings, databases)


def run(paths: list[Path], *, as_json: bool, cache_dir: str | None = None) -> int:
    findings = [examine(path, cache_dir) for path in paths]
    bad = any(f.plan is None for f in findings)
    if as_json:
        print_json({"ok": not bad, "policies": [_finding_json(f) for f in findings]})
        return int(bad)
    out = console()
    for finding in findings:
        print_diagnostics(finding.diagnostics)
        if finding.plan is not None:
            databases = f", {plural(finding.databases, 'pattern database')}" if finding.databases else ""
            out.print(f"[green]ok[/]  {finding.path}  [dim]{summary(finding.plan)}{databases}[/]")
    return int(bad)


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "path": str(finding.path),
        "ok": finding.plan is not None,
        "digest": finding.plan.digest if finding.plan else None,
        **(counts(finding.plan) if finding.plan else {}),
        "databases": finding.databases,
        "diagnostics": as_data(finding.diagnostics),
    }
