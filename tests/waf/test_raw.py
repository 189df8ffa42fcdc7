"""The two sources that SecLang has no name for: the path and the body as they were sent."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.errors import PolicyError
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Link, Operator, Selector, Variable
from ratelimitd.waf.program import Program as Rules
from ratelimitd.waf.seclang import parse

FORM = [(b"content-type", b"application/x-www-form-urlencoded")]


def program(variable: Variable, pattern: bytes, operator: Operator = Operator.RX) -> Program:
    return Program(Rules((Link(1, 2, (Selector(variable),), operator, argument=(pattern,)),)))


def values(rules: Program, **request: Any) -> list[bytes]:
    asked = {"method": b"POST", "path": b"/", **request}
    return [fired["value"] for fired in rules.run(asked, 1 << 17, detect=True)["fired"]]


# A regex is scanned for, a word is evaluated in its turn: the source is there for both.
@pytest.mark.parametrize("operator", [Operator.RX, Operator.CONTAINS_WORD])
def test_the_path_is_as_sent_without_the_query(operator: Operator) -> None:
    rules = program(Variable.RAW_PATH, b"2F", operator)
    assert values(rules, path=b"/a%2F/..//b?x") == [b"/a%2F/..//b"]
    assert values(rules, path=b"/b/2F/?x") == [b"/b/2F/"]
    assert values(rules, path=b"http://h/2F?x") == [b"http://h/2F"]
    assert values(rules, path=b"/a?x=2F") == []


@pytest.mark.parametrize("operator", [Operator.RX, Operator.CONTAINS])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"application/json", b'{"a": "needle"}'),
        (b"application/x-www-form-urlencoded", b"a=%20&needle=b"),
        (b"text/plain", b"a needle"),
        (b"multipart/form-data; boundary=x", b"--x\r\nneedle"),
    ],
)
def test_the_body_is_there_however_it_is_read(operator: Operator, kind: bytes, body: bytes) -> None:
    rules = program(Variable.RAW_BODY, b"needle", operator)
    assert values(rules, headers=[(b"content-type", kind)], body=body) == [body]


def test_content_codings_are_off_and_the_limit_holds() -> None:
    rules = program(Variable.RAW_BODY, b"needle")
    packed = gzip.compress(b"a needle")
    assert values(rules, headers=[(b"content-encoding", b"gzip")], body=packed) == [b"a needle"]
    found = rules.run({"method": b"POST", "path": b"/", "body": b"a needle"}, 7)
    assert (found["fired"], found["inspected_all"]) == ([], False)


def test_who_does_not_ask_does_not_pay() -> None:
    rules = program(Variable.REQUEST_BODY, b"needle")
    rules.run({"method": b"POST", "path": b"/x", "headers": FORM, "body": b"a=needle"})
    assert not {Variable.RAW_PATH, Variable.RAW_BODY} & {source for source, *_ in rules.fields()}


@pytest.mark.parametrize("name", ["RAW_PATH", "RAW_BODY"])
def test_seclang_does_not_know_them(name: str) -> None:
    with pytest.raises(PolicyError):
        compile_rules(parse(f'SecRule {name} "@rx a" "id:1,phase:2,pass"\n'.encode()))
