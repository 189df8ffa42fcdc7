"""The policy's own tests."""

from __future__ import annotations

from ratelimitd.policy.checks.findings import Findings, check_name
from ratelimitd.policy.checks.rules import ids_of, rules_known
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.schema import TestSpec


def check_tests(f: Findings) -> None:
    rules = ids_of(f).keys() - set(f.spec.scan.disable)
    rules_are_known = rules_known(f) and f.whole(("scan", "disable"))
    for index, test in enumerate(f.spec.tests):
        path: Path = ("tests", index)
        expect = test.expect
        check_name(f, "limit", expect.limit, f.spec.limits, path, f.whole(("limits", expect.limit or "")))
        check_name(f, "list", expect.list, f.spec.lists, path, f.whole(("lists", expect.list or "")))
        check_name(f, "penalty", expect.penalty, f.spec.penalties, path, f.whole(("penalties", expect.penalty or "")))
        check_name(f, "rule", expect.rule, sorted(rules), path, rules_are_known)
        check_requests(f, test, path)
        if not expect.model_fields_set and f.whole((*path, "expect")):
            f.error("P315", "a test that expects nothing", (*path, "expect"), "say how many are allowed and denied")


def check_requests(f: Findings, test: TestSpec, path: Path) -> None:
    known = f.whole((*path, "requests"))
    if not test.requests and known:
        f.error("P315", "a test without requests", (*path, "requests"))
    total = sum(request.repeat for request in test.requests)
    if total > 100_000:
        f.error("P205", f"a test sends at most 100000 requests, this one {total}", (*path, "requests"))
    told = [n for n in (test.expect.allowed, test.expect.denied) if n is not None]
    if known and ((len(told) == 2 and sum(told) != total) or any(n > total for n in told)):
        message = f"the test sends {total} requests, its expectations count {sum(told)}"
        f.error("P315", message, (*path, "expect"), key=True)
    for number, request in enumerate(test.requests):
        if "/" in request.ip:
            f.error("P207", f"'{request.ip}' is a network", (*path, "requests", number, "ip"), "write one address")
        if not request.path.startswith(("/", "*")):
            f.error("P317", "a path begins with '/'", (*path, "requests", number, "path"))
