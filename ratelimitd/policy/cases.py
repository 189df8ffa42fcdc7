"""A policy's own tests: requests at times on a fake clock, and what must come out of them.

What decides is injected, so that the policy stays apart from the engine: a `Checker` takes a request and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratelimitd.policy.schema import ExpectSpec, PolicySpec, RequestSpec

# Begins every window up to a week: whole weeks since the epoch, in nanoseconds.
EPOCH_NS = 2800 * 604_800 * 1_000_000_000

Checker = Callable[[Mapping[str, Any], int], Mapping[str, Any]]  # (request, now in ns) -> verdict, as Engine.check


@dataclass(frozen=True, slots=True)
class Step:
    """A train of equal requests. Times in milliseconds."""

    at_ms: int
    repeat: int
    every_ms: int
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expectation:
    """None: not asked. See ExpectSpec."""

    allowed: int | None = None
    denied: int | None = None
    shadow_denied: int | None = None
    banned: int | None = None
    limit: str | None = None
    list: str | None = None
    penalty: str | None = None
    rule: str | None = None
    status: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    domain: str
    name: str
    steps: tuple[Step, ...]
    expect: Expectation


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`differences` in words; none: passed."""

    case: Case
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.differences


def compile_cases(spec: PolicySpec) -> tuple[Case, ...]:
    return tuple(
        Case(
            spec.domain,
            test.name,
            tuple(compile_step(spec.domain, item) for item in test.requests),
            compile_expectation(test.expect),
        )
        for test in spec.tests
    )


def compile_step(domain: str, spec: RequestSpec) -> Step:
    request = {
        "domain": domain,
        "source_address": spec.ip,
        "method": spec.method,
        "path": spec.path,
        "host": spec.host,
        "scheme": spec.scheme,
        "headers": [(name.lower(), value) for name, values in spec.headers.items() for value in values],
        "body": spec.body,
        "partial_body": spec.partial_body,
        "attributes": dict(spec.attributes),
        "cost": spec.cost,
    }
    return Step(spec.at, spec.repeat, spec.every, {key: value for key, value in request.items() if value is not None})


def compile_expectation(spec: ExpectSpec) -> Expectation:
    return Expectation(**spec.model_dump())


def timeline(case: Case) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(time in ms, request) in the order of time; equal times in the order of the file."""
    moments = [
        (step.at_ms + number * step.every_ms, index, number)
        for index, step in enumerate(case.steps)
        for number in range(step.repeat)
    ]
    for at_ms, index, _ in sorted(moments):
        yield at_ms, case.steps[index].request


def run_cases(cases: Sequence[Case], fresh: Callable[[], Checker]) -> list[CaseResult]:
    """Runs each case on a checker of its own: `fresh` makes one that has counted nothing."""
    return [run_case(case, fresh()) for case in cases]


def run_case(case: Case, check: Checker) -> CaseResult:
    verdicts = [check(request, EPOCH_NS + at_ms * 1_000_000) for at_ms, request in timeline(case)]
    return CaseResult(case, tuple(compare(case.expect, verdicts)))


def compare(expect: Expectation, verdicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What differs, in words."""
    denied = [verdict for verdict in verdicts if verdict["decision"] == "deny"]
    watched = [verdict for verdict in verdicts if verdict.get("shadow_denied")]
    banned = [verdict for verdict in denied if verdict.get("reason") == "penalty"]
    counts = (
        ("allowed", len(verdicts) - len(denied)),
        ("denied", len(denied)),
        ("shadow_denied", len(watched)),
        ("banned", len(banned)),
    )
    for name, got in counts:
        wanted = getattr(expect, name)
        if wanted is not None and wanted != got:
            yield f"{name}: expected {wanted}, got {got} of {len(verdicts)}"
    told = denied or list(verdicts)
    kind = "denied" if denied else "allowed"
    for name in ("limit", "list", "status", "reason"):
        wanted = getattr(expect, name)
        if wanted is not None:
            others = sorted({text_of(name, v) for v in told if text_of(name, v) != str(wanted)})
            if others:
                yield f"{name} of the {kind} requests: expected {wanted}, got {', '.join(others)}"
    if expect.penalty is not None:
        others = sorted({text_of("penalty", v) for v in banned} - {expect.penalty}) if banned else ["none"]
        if others:
            yield f"penalty of the banned requests: expected {expect.penalty}, got {', '.join(others)}"
    if expect.rule is not None:
        yield from compare_rule(expect.rule, told, kind)


def text_of(name: str, verdict: Mapping[str, Any]) -> str:
    if name == "limit":
        decided = verdict.get("decided_by") if verdict.get("reason") == "over_limit" else watched_limit(verdict)
    elif name == "list":
        decided = verdict.get("decided_by") if str(verdict.get("reason")).endswith("_list") else ""
    else:
        decided = verdict.get("decided_by" if name == "penalty" else name)
    return str(decided or "none") if name != "status" else str(decided)


def watched_limit(verdict: Mapping[str, Any]) -> str:
    """The shadow limit that would have denied."""
    return next((str(state["name"]) for state in verdict.get("limits", ()) if state.get("over")), "")


def compare_rule(rule: str, verdicts: Sequence[Mapping[str, Any]], kind: str) -> Iterator[str]:
    without = [v for v in verdicts if rule not in {str(match["id"]) for match in v.get("matches", ())}]
    if without:
        found = sorted({str(match["id"]) for v in without for match in v.get("matches", ())})
        yield f"rule of the {kind} requests: expected {rule}, got {', '.join(found) or 'none'}"
