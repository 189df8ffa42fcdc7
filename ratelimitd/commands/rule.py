"""`ratelimitd explain --rule`: one rule as its file has it, and what each profile makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from ratelimitd import trial
from ratelimitd.commands.output import console, print_json
from ratelimitd.policy import load_policy
from ratelimitd.policy.explain import text_of
from ratelimitd.policy.names import rule_meant
from ratelimitd.policy.pipeline import rules_of
from ratelimitd.policy.plan import Plan
from ratelimitd.waf.explain import chains, find, name_of, rule_lines
from ratelimitd.waf.seclang.render import render


def run_rule(path: Path, name: str, *, as_json: bool) -> int:
    """Raises typer.BadParameter (exit 2): there is no such rule."""
    plan = load_policy(path).plan
    sources = [(str(rule.position), render(rule)) for rule in rules_of(path) if str(rule.id) == name]
    compiled = [*compiled_forms(plan, name)]
    if not sources and not compiled:
        raise typer.BadParameter(f"--rule {name}: no such rule; {rule_meant(name, names(plan))}".rstrip("; "))
    if as_json:
        print_json(
            {
                "rule": name,
                "sources": [{"place": place, "text": text} for place, text in sources],
                "profiles": [{"domain": d, "profile": p, "compiled": lines} for d, p, lines in compiled],
            }
        )
        return 0
    out = console()
    for place, text in sources:
        out.print(place, style="dim", markup=False)
        out.print(f"{text}\n", markup=False)
    shown: list[list[str]] = []
    for domain, profile, lines in compiled:
        out.print(f"domain {domain}, profile {profile}:", style="bold", markup=False)
        same = shown.index(lines) if lines in shown else -1
        out.print("  the same" if same >= 0 and same == len(shown) - 1 else "\n".join(lines), markup=False)
        shown.append(lines)
    return 0


def compiled_forms(plan: Plan, name: str) -> Iterator[tuple[str, str, list[str]]]:
    """(domain, profile, lines) of every profile; of one in which the rule never runs, a line that says so."""
    for domain in plan.domains:
        for profile in domain.scan.profiles:
            found = find(profile.program, name)
            searched = trial.searched(profile.program) if found else frozenset()
            lines = [line for first, links in found for line in rule_lines(profile.program, links, first in searched)]
            if lines or any(find(other.program, name) for d in plan.domains for other in d.scan.profiles):
                yield text_of(domain.name), text_of(profile.name), lines or ["it never runs here"]


def names(plan: Plan) -> list[str]:
    found = (profile.program for domain in plan.domains for profile in domain.scan.profiles)
    return sorted({name_of(links[0]) for program in found for _, links in chains(program)})
