"""A plan in a few words, for the ready line and for `check`."""

from __future__ import annotations

from ratelimitd.policy.plan import Plan
from ratelimitd.waf.program import Program

OWN = range(200_000, 200_005)


def plural(count: int, noun: str) -> str:
    """ "1 limit", "1,200 limits" """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def counts(plan: Plan) -> dict[str, int]:
    """Domains, limits, and the rules that may run: of a domain's profiles those of the largest."""
    return {
        "domains": len(plan.domains),
        "limits": sum(len(d.limits) for d in plan.domains),
        "rules": sum(max((rules_of(p.program) for p in d.scan.profiles), default=0) for d in plan.domains),
    }


def rules_of(program: Program) -> int:
    """Without those that only prepare, and without our own of how bodies are read."""
    firsts = (link for at, link in enumerate(program.links) if at == 0 or not program.links[at - 1].chained)
    return sum(link.log and link.rule not in OWN for link in firsts)


def summary(plan: Plan) -> str:
    """ "1 domain, 5 limits, 24 rules" """
    return ", ".join(plural(count, name[:-1]) for name, count in counts(plan).items())
