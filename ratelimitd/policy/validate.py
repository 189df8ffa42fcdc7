"""What a well-formed policy must mean: the checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ratelimitd.errors import Diagnostic
from ratelimitd.policy.checks.bounds import check_counts
from ratelimitd.policy.checks.cases import check_tests
from ratelimitd.policy.checks.client import check_client
from ratelimitd.policy.checks.findings import Findings, Known
from ratelimitd.policy.checks.limits import check_limits
from ratelimitd.policy.checks.lists import check_lists
from ratelimitd.policy.checks.penalties import check_penalties
from ratelimitd.policy.checks.scan import check_scan
from ratelimitd.policy.nodes import Document
from ratelimitd.policy.schema import PolicySpec


def validate(document: Document, spec: PolicySpec, known: Known) -> Findings:
    """Checks one domain."""
    findings = Findings(document, spec, known)
    for check in CHECKS:
        check(findings)
    return findings


CHECKS: tuple[Callable[[Findings], None], ...] = (
    check_client,
    check_lists,
    check_limits,
    check_penalties,
    check_counts,
    check_scan,
    check_tests,
)


def check_domains(documents: Iterable[tuple[Document, PolicySpec]]) -> list[Diagnostic]:
    """Across files: each domain once, at most one default."""
    found: list[Diagnostic] = []
    places: dict[str, Document] = {}
    default: Document | None = None
    for document, spec in documents:
        named = document.whole(("domain",))
        if named and spec.domain in places:
            first = places[spec.domain].position(("domain",))
            found.append(
                document.diagnostic(
                    "P301", f"duplicate domain '{spec.domain}'", ("domain",), hint=f"it is first at {first}"
                )
            )
        if named:
            places.setdefault(spec.domain, document)
        if spec.default and default is not None:
            first = default.position(("default",))
            found.append(
                document.diagnostic("P318", "a second default domain", ("default",), hint=f"the first is at {first}")
            )
        if spec.default:
            default = default or document
    return found
