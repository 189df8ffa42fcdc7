"""`ratelimitd call`: one question to a running server, answered for people or for programs."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from ratelimitd.client import CheckError, Client, LimitState, Request, RuleMatch, Verdict
from ratelimitd.commands.output import console, print_json, print_table, seconds, table

DENIED = 3

_REASONS = {
    "over_limit": "over the limit:",
    "scan": "the scan objects:",
    "deny_list": "on the list:",
    "allow_list": "on the list:",
    "partial_body": "the body is cut",
    "penalty": "banned by",
    "store_lost": "not decided without the store:",
    "no_policy": "no policy for this domain",
    "overload": "the server is overloaded",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The request as typed."""

    path: str
    method: str
    ip: str
    host: str
    scheme: str
    headers: list[str]
    body: str | None
    partial_body: bool
    attributes: list[str]
    cost: int | None
    domain: str
    dry_run: bool
    explain: bool


def _pair(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise typer.BadParameter(f"{option} {text!r}: write it as NAME{separator}VALUE")
    return name.strip(), value.strip() if separator == ":" else value


def _body(text: str | None) -> bytes | None:
    if text is None or not text.startswith("@"):
        return None if text is None else text.encode()
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"--body {text}: {error.strerror}") from None


def request_of(arguments: Arguments) -> Request:
    """Raises typer.BadParameter (exit 2)."""
    return Request(
        method=arguments.method,
        path=arguments.path,
        source_address=arguments.ip,
        host=arguments.host,
        scheme=arguments.scheme,
        headers=[_pair(h, ":", "--header") for h in arguments.headers],
        body=_body(arguments.body),
        partial_body=arguments.partial_body,
        attributes=dict(_pair(a, "=", "--attribute") for a in arguments.attributes),
        cost=arguments.cost,
        domain=arguments.domain,
        dry_run=arguments.dry_run,
        explain=arguments.explain,
    )


def run(arguments: Arguments, *, address: str, timeout: float, repeat: int, as_json: bool) -> int:
    request = request_of(arguments)
    out = console()
    tally: Counter[str] = Counter()
    try:
        with Client(address, timeout=timeout) as client:
            for number in range(1, repeat + 1):
                verdict = client.check(request)
                tally[verdict.decision] += 1
                if as_json:
                    print_json(verdict_json(verdict), compact=repeat > 1)
                elif repeat > 1:
                    out.print(
                        Text.assemble((f"{number:>{len(str(repeat))}}  ", "dim"), headline(verdict), tightest(verdict))
                    )
                else:
                    print_verdict(out, verdict, headers=arguments.explain)
    except CheckError as error:
        print(f"ratelimitd: {advice(error)}", file=sys.stderr)
        return 1
    if repeat > 1 and not as_json:
        out.print(f"{tally['allow']:,} allowed, {tally['deny']:,} denied", style="bold")
    return DENIED if tally["deny"] else 0


def advice(error: CheckError) -> str:
    """What failed, and what to do next."""
    if error.code == "UNAVAILABLE":
        hint = "start one with `ratelimitd serve`, or name another with --address"
        return f"no server answers on {error.address}: is it running? {hint.capitalize()}"
    if error.code == "DEADLINE_EXCEEDED":
        return f"{error.address} did not answer in time: is that a ratelimitd? Wait longer with --timeout"
    if error.code == "UNIMPLEMENTED":
        return f"{error.address} is a gRPC server, but not a ratelimitd: {error.details}"
    return f"{error.address} refused the request: {error.code}: {error.details}"


def verdict_json(verdict: Verdict) -> dict[str, object]:
    return {"decision": verdict.decision, **asdict(verdict)}


def headline(verdict: Verdict) -> Text:
    """ "DENY 429  over the limit per-ip" """
    style = "bold green" if verdict.allowed else "bold red"
    line = Text.assemble((f"{verdict.decision.upper():<5} {verdict.status}", style))
    if verdict.reason:
        line.append(f"  {_REASONS.get(verdict.reason, verdict.reason)} {verdict.decided_by}".rstrip())
    if verdict.shadow_denied:
        line.append("  (denied, were everything enforced)", "yellow")
    return line


def tightest(verdict: Verdict) -> Text:
    """ "  per-ip 3/100 left" of the limit nearest to its end."""
    counted = [s for s in verdict.limits if not s.unlimited]
    if not counted:
        return Text()
    state = min(counted, key=lambda s: (not s.over, s.remaining / max(1, s.limit)))
    return Text(
        f"  {state.name}: {state.remaining:,} of {state.limit:,} left, fresh in {seconds(state.reset_after_ms)}", "dim"
    )


def print_verdict(out: Console, verdict: Verdict, *, headers: bool) -> None:
    out.print(headline(verdict))
    facts = [f"domain {verdict.domain}"] if verdict.domain else []
    if verdict.retry_after is not None:
        facts.append(f"retry after {verdict.retry_after}s")
    if verdict.score:
        facts.append(f"score {verdict.score}")
    if verdict.bytes_inspected:
        facts.append(
            f"{verdict.bytes_inspected:,} bytes of body inspected" + ("" if verdict.inspected_all else " (not all)")
        )
    if verdict.reference:
        facts.append(f"reference {verdict.reference}")
    if facts:
        out.print("  ".join(facts), style="dim")
    if verdict.limits:
        out.print()
        _print_limits(out, verdict.limits)
    if verdict.matches:
        out.print()
        _print_rules(out, verdict.matches)
    if headers and verdict.headers:
        out.print()
        _print_headers(out, verdict.headers)


def _print_rules(out: Console, matches: tuple[RuleMatch, ...]) -> None:
    rows = table("RULE", "TARGET", "SCORE", right=["SCORE"])
    for match in matches:
        rows.add_row(match.id, match.target, str(match.score))
    print_table(out, rows)


def _print_headers(out: Console, headers: tuple[tuple[str, str], ...]) -> None:
    rows = table("HEADER FOR THE CLIENT", "VALUE")
    for name, value in headers:
        rows.add_row(Text(name), Text(value))
    print_table(out, rows)


def _print_limits(out: Console, limits: tuple[LimitState, ...]) -> None:
    numbers = ["LIMIT", "REMAINING", "WINDOW", "FRESH IN"]
    rows = table("NAME", *numbers, "", right=numbers)
    for state in limits:
        notes = ["over"] if state.over else []
        notes += ["shadow"] if state.shadow else []
        if state.unlimited:
            rows.add_row(state.name, "unlimited", "", "", "", "")
            continue
        rows.add_row(
            state.name,
            f"{state.limit:,}",
            f"{state.remaining:,}",
            seconds(state.window_ms),
            seconds(state.reset_after_ms),
            ", ".join(notes),
            style="red" if state.over and not state.shadow else "yellow" if state.over else None,
        )
    print_table(out, rows)
