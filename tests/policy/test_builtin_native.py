"""The built-in rules in the native scanner, through whole requests."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.policy.plan import Rule, Target
from ratelimitd.policy.rules import link_of
from ratelimitd.waf.program import Program as Rules

from .test_builtin import CASES, RULES


@pytest.fixture(scope="module")
def program() -> Any:
    return Program(Rules(tuple(link_of(rule, b"score", 403) for rule in RULES.values())))


def request_with(rule: Rule, value: str) -> dict[str, Any]:
    """A request in which the rule's first target sees the value as it is."""
    first = rule.targets[0]
    if first.target is Target.ARGS:
        headers = [(b"content-type", b"application/json")]
        return {"method": b"POST", "path": b"/form", "headers": headers, "body": json.dumps({"v": value}).encode()}
    if first.target is Target.ARGS_NAMES:
        return {"path": f"/form?{quote(value, safe='')}=1".encode()}
    if first.target is Target.HEADERS:
        return {"path": b"/", "headers": [(first.name or b"x-note", value.encode())]}
    if first.target is Target.BODY:
        return {"method": b"POST", "path": b"/x", "headers": [(b"content-type", b"text/xml")], "body": value.encode()}
    assert first.target is Target.PATH
    return {"path": value.encode()}


def fired(program: Any, request: dict[str, Any]) -> set[bytes]:
    return {found["id"] for found in program.run(request, detect=True)["fired"]}


@pytest.mark.parametrize("number", sorted(RULES))
def test_a_rule_finds_and_leaves_alone(number: str, program: Any) -> None:
    rule, case = RULES[number], CASES[int(number)]
    assert [value for value in case["hits"] if rule.id not in fired(program, request_with(rule, value))] == []
    assert [value for value in case["misses"] if rule.id in fired(program, request_with(rule, value))] == []


ORDINARY: list[dict[str, Any]] = [
    {"path": b"/search?q=red+shoes+%26+socks&page=2&sort=price%3Aasc&utm_source=news"},
    {"path": b"/blog/2024/how-to-select-a-union-for-drop-tables"},
    {"path": b"/login", "method": b"POST", "body": b"user=o%27connor%40example.org&password=p%40%24%24w0rd%3B--x"},
    {
        "path": b"/api/v2/orders",
        "method": b"POST",
        "headers": [
            (b"content-type", b"application/json"),
            (
                b"user-agent",
                b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
            ),
            (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
            (b"referer", b"https://shop.example.org/cart?item=12&next=/checkout"),
            (b"cookie", b"session=eyJhbGciOiJIUzI1NiJ9.eyJpZCI6N30.c2ln; theme=dark; cart=[1,2,3]"),
        ],
        "body": json.dumps(
            {"note": "Leave it at the door; ring twice & don't knock -- thanks!", "items": [{"sku": "A-1", "n": 2}]}
        ).encode(),
    },
    {
        "path": b"/comments",
        "method": b"POST",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        "body": b"text=I+love+%3C3+this.+On+load+it+takes+1+%3D+one+second%2C+or+2.+See+https%3A%2F%2Fexample.org",
    },
]


@pytest.mark.parametrize("number", range(len(ORDINARY)))
def test_an_ordinary_request_fires_nothing(number: int, program: Any) -> None:
    assert fired(program, ORDINARY[number]) == set()
