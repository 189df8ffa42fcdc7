"""`ratelimitd explain`: the compiled policy, or what applies to one request and why the rest does not.

Why is told by the plain evaluator, the verdict by the engine itself, on an engine that has counted nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ratelimitd.commands.output import compiling, console, print_json, print_table, table
from ratelimitd.commands.rule import run_rule
from ratelimitd.commands.rules import add_outcomes, outcome_json, score_words
from ratelimitd.policy import load_policy
from ratelimitd.policy.cases import EPOCH_NS
from ratelimitd.policy.checks.bounds import MAX_APPLYING
from ratelimitd.policy.evaluate import evaluate, find_override, key_text, penalty_key_text
from ratelimitd.policy.explain import (
    cost_words,
    explain,
    explain_data,
    override_words,
    penalty_words,
    rate_words,
    text_of,
)
from ratelimitd.policy.outcomes import NO_PROFILE, Outcome, outcomes, told_rules, unreached
from ratelimitd.policy.plan import AddressList, Domain, Limit, Penalty, Plan, Profile
from ratelimitd.policy.request import Request, from_mapping
from ratelimitd.policy.values import client_address, client_text, contains
from ratelimitd.summary import plural

MAX_REQUEST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One list, limit or scan route: does it apply, what it is, and why it does not apply."""

    name: str
    applies: bool
    what: str
    because: str = ""
    key: str | None = None


def run(
    path: Path,
    request: str | None,
    *,
    as_json: bool,
    show_values: bool = False,
    rule: str | None = None,
    cache_dir: str | None = None,
) -> int:
    from ratelimitd import trial

    if rule is not None:
        return run_rule(path, rule, as_json=as_json)
    plan = load_policy(path).plan
    if request is not None:
        return _run_request(plan, read_request(request), as_json=as_json, show_values=show_values, cache_dir=cache_dir)
    if as_json:
        print_json(explain_data(plan))
    else:
        console().print(explain(plan, trial.searched), end="", markup=False)
    return 0


def read_request(source: str) -> Request:
    """Raises typer.BadParameter (exit 2)."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
        else:
            with open(source, "rb") as stream:
                data = stream.read(MAX_REQUEST_BYTES + 1)
        if len(data) > MAX_REQUEST_BYTES:
            raise ValueError(f"more than {MAX_REQUEST_BYTES >> 20} MiB")
        return from_mapping(orjson.loads(data))
    except OSError as error:
        raise typer.BadParameter(f"--request {source}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(f"--request {source}: {error}") from None


def find_domain(plan: Plan, name: bytes) -> Domain:
    """Which domain decides. Raises typer.BadParameter when none would."""
    found = next((d for d in plan.domains if d.name == name), None)
    if found is None and not name and plan.default_domain:
        found = plan.domains[0]
    if found is None:
        known = ", ".join(text_of(d.name) for d in plan.domains)
        raise typer.BadParameter(f"the request's domain {text_of(name)!r} has no policy; there are: {known}")
    return found


def list_line(item: AddressList, request: Request, domain: Domain) -> Line:
    action = item.action.name.lower()
    address = client_address(request, domain.client)
    if address is None or not any(contains(cidr, address) for cidr in item.cidrs):
        return Line(text_of(item.name), False, action, "the client is in none of its networks")
    holds, why = evaluate(item.match, request, domain.client)
    return Line(text_of(item.name), holds, action, why or "")


def list_that_decides(domain: Domain, lines: list[Line]) -> str:
    """The first list that applies and is enforced: limits and scan are then not reached."""
    pairs = zip(domain.lists, lines, strict=True)
    return next((line.name for item, line in pairs if line.applies and not item.shadow and not domain.shadow), "")


def limit_line(limit: Limit, request: Request, domain: Domain) -> Line:
    name, what = text_of(limit.name), f"{rate_words(limit.rate, limit.algorithm)}{cost_words(limit)}"
    holds, why = evaluate(limit.match, request, domain.client)
    if not holds:
        return Line(name, False, what, why or "")
    key = key_text(limit, request, domain.client)
    if key is None:
        return Line(name, False, what, "a part of its key is missing")
    index = find_override(limit.overrides, key, client_address(request, domain.client))
    if index is not None:
        what = f"{override_words(limit.overrides[index], limit.algorithm)} (override)"
    return Line(name, True, f"{what}{', shadow' if limit.shadow else ''}", key=text_of(key) if limit.key else None)


def limit_lines(domain: Domain, request: Request) -> list[Line]:
    """One line for each limit. Those that apply beyond MAX_APPLYING, which a check does not look at, do not apply."""
    lines, applying = [], 0
    for limit in domain.limits:
        line = limit_line(limit, request, domain)
        applying += line.applies
        if line.applies and applying > MAX_APPLYING:
            line = replace(line, applies=False, because=f"a check looks at {MAX_APPLYING} limits: earlier ones apply")
        lines.append(line)
    return lines


def penalty_line(penalty: Penalty, request: Request, domain: Domain) -> Line:
    name, what = text_of(penalty.name), penalty_words(penalty)
    holds, why = evaluate(penalty.match, request, domain.client)
    if not holds:
        return Line(name, False, what, why or "")
    key = penalty_key_text(penalty, request, domain.client)
    if key is None:
        return Line(name, False, what, "a part of its key is missing")
    return Line(name, True, f"{what}{', shadow' if penalty.shadow else ''}", key=text_of(key))


def scan_lines(request: Request, domain: Domain) -> tuple[str, int, list[Line]]:
    """Mode and profile that the scan has for this request, and the routes up to the one that said so."""
    lines: list[Line] = []
    for number, route in enumerate(domain.scan.routes, 1):
        mode = route.mode.name.lower()
        holds, why = evaluate(route.match, request, domain.client)
        lines.append(Line(f"route {number}", holds, mode, why or ""))
        if holds:
            return mode, route.profile, lines
    return domain.scan.mode.name.lower(), 0, lines


def rule_outcomes(
    domain: Domain, profile: Profile, no_scan: str, trace: Callable[[], Mapping[str, Any]]
) -> list[Outcome]:
    """What became of each rule. `no_scan`: why there was no scan; empty: there was."""
    if no_scan:
        return unreached(profile, domain.scan, no_scan)
    traced = trace()
    return outcomes(profile, domain.scan, traced["rules"], traced["variables"])


def why_no_scan(domain: Domain, profile: Profile, request: Request, decided: str, mode: str, routes: list[Line]) -> str:
    """Why the rules are not looked at; empty when they are."""
    if decided:
        return f"not reached: list {decided} decides"
    if mode == "off":
        return f"scan is off for this request: {routes[-1].name}" if routes and routes[-1].applies else "scan is off"
    cut = request.partial_body and profile.deny_partial_body
    return "not reached: a cut body is denied" if cut and mode == "block" and not domain.shadow else ""


def _run_request(plan: Plan, request: Request, *, as_json: bool, show_values: bool, cache_dir: str | None) -> int:
    from ratelimitd import trial

    domain = find_domain(plan, request.domain)
    lists = [list_line(item, request, domain) for item in domain.lists]
    penalties = [penalty_line(item, request, domain) for item in domain.penalties]
    limits = limit_lines(domain, request)
    mode, number, routes = scan_lines(request, domain)
    profile = domain.scan.profiles[number] if domain.scan.profiles else NO_PROFILE
    decided = list_that_decides(domain, lists)
    with compiling():
        engine = trial.engine(plan, cache_dir)
    fields = {**asdict(request), "attributes": dict(request.attributes), "explain": True}
    verdict = engine.check(fields, now_ns=EPOCH_NS)
    no_scan = why_no_scan(domain, profile, request, decided, mode, routes)
    rules = rule_outcomes(domain, profile, no_scan, lambda: engine.trace(fields))
    client = client_text(request, domain.client)
    if as_json:
        print_json(
            {
                "domain": domain.name,
                "client": client,
                "lists": [_line_json(line) for line in lists],
                "penalties": [_line_json(line) for line in penalties],
                "limits": [_line_json(line) for line in limits],
                "scan": {
                    "mode": mode,
                    "profile": profile.name,
                    "score": verdict["score"],
                    "routes": [_line_json(line) for line in routes],
                    "rules": [outcome_json(outcome, show_values=show_values) for outcome in rules],
                },
                "verdict": verdict,
            }
        )
        return 0
    out = console()
    who = text_of(client) if client else "unknown"
    out.print(Text(f"{text_of(request.method)} {text_of(request.path)}", "bold"), end="  ")
    out.print(f"client {who}  domain {text_of(domain.name)}", style="dim", markup=False)
    _print_section(out, "lists", _rows(lists))
    aside = f" (not reached: list {decided} decides)" if decided else ""
    _print_section(out, f"penalties{aside}", _rows(penalties))
    _print_section(out, f"limits{aside}", _rows(limits))
    blocks = mode == "block" and not domain.shadow
    score = score_words(rules, verdict["score"], "denies" if blocks else "would deny")
    by = f" by profile {text_of(profile.name)}" if len(domain.scan.profiles) > 1 else ""
    title = f"scan: {mode}{by}, {plural(len(told_rules(profile)), 'rule')}{aside}{f': {score}' if score else ''}"
    rows = _rows(routes)
    add_outcomes(rows, rules, show_values=show_values)
    _print_section(out, title, rows)
    _print_verdict(out, verdict)
    return 0


def _line_json(line: Line) -> dict[str, Any]:
    return {name: value for name, value in asdict(line).items() if value not in (None, "")}


def _print_section(out: Console, title: str, rows: Table) -> None:
    if rows.row_count:
        out.print(Text(f"\n{title}", "bold"))
        print_table(out, rows)


def _rows(lines: list[Line]) -> Table:
    rows = table("", "", "")
    rows.show_header = False
    for line in lines:
        mark = Text("  applies", "green") if line.applies else Text("  no", "dim")
        detail = Text(line.what)
        if line.applies and line.key is not None:
            detail.append(f"  key {line.key or 'empty'}", "cyan")
        if not line.applies:
            detail = Text(line.because, "dim")
        rows.add_row(mark, Text(line.name), detail)
    return rows


def _print_verdict(out: Console, verdict: dict[str, Any]) -> None:
    allowed = verdict["decision"] == "allow"
    line = Text.assemble(
        "\nverdict  ", (f"{verdict['decision'].upper()} {verdict['status']}", f"bold {_colour(allowed)}")
    )
    if verdict.get("reason"):
        line.append(f"  {verdict['reason']} {verdict.get('decided_by', '')}".rstrip())
    if verdict.get("shadow_denied"):
        line.append("\n         denied, were everything enforced", "yellow")
    out.print(line)


def _colour(allowed: bool) -> str:
    return "green" if allowed else "red"
