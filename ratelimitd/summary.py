"""A plan in a few words, for the ready line and for `check`."""

from __future__ import annotations

from ratelimitd.policy.plan import Plan


def plural(count: int, noun: str) -> str:
    """ "1 limit", "1,200 limits" """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def summary(plan: Plan) -> str:
    """ "1 domain, 5 limits, 24 rules" """
    limits = sum(len(d.limits) for d in plan.domains)
    rules = sum(len(d.scan.rules) for d in plan.domains)
    return ", ".join((plural(len(plan.domains), "domain"), plural(limits, "limit"), plural(rules, "rule")))
