"""Responses: what rules of phases 3 and 4 see, what is told of them, and what a request's rules have to say to it."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from . import engines
from .message import Request, Response, headers

HTML = {"status": 200, "headers": [(b"Content-Type", b"text/html; charset=utf-8")]}


def program(rules: str) -> Program:
    return Program(compile_rules(parse(rules.encode())))


def answer(rules: str, response: dict[str, Any], request: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    asked = {"method": b"GET", "path": b"/a?x=1", "headers": [], **(request or {})}
    result: dict[str, Any] = program(rules).run_response(asked, {**HTML, **response}, **how)
    return result


def seen(target: str, response: dict[str, Any], more: str = "", phase: int = 4) -> list[bytes]:
    """The values that a rule sees of a target."""
    rule = f'{more}\nSecRule {target} "@unconditionalMatch" "id:1,phase:{phase},pass,multiMatch"'
    return [fired["value"] for fired in answer(rule, response)["fired"]]


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("RESPONSE_STATUS", b"404"),
        ("RESPONSE_PROTOCOL", b"HTTP/2"),
        ("RESPONSE_HEADERS:Set-Cookie", b"a=1"),
        ("RESPONSE_HEADERS_NAMES:set-cookie", b"set-cookie"),
        ("RESPONSE_CONTENT_TYPE", b"text/html"),
        ("RESPONSE_CONTENT_LENGTH", b"5"),
        ("RESPONSE_BODY", b"found"),
        ("REQUEST_FILENAME", b"/a"),
        ("ARGS:x", b"1"),
    ],
)
def test_what_rules_see(target: str, value: bytes) -> None:
    response = {"status": 404, "protocol": b"HTTP/2", "body": b"found"}
    response["headers"] = [*HTML["headers"], (b"Set-Cookie", b"a=1")]
    assert seen(target, response) == [value]


@pytest.mark.parametrize("target", ["RESPONSE_BODY", "RESPONSE_STATUS", "ARGS:x"])
def test_like_libmodsecurity(target: str) -> None:
    """The rules that fire on a response are those that fire there, found by a scan or one by one."""
    rules = [
        "SecRuleEngine DetectionOnly\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/html",
        f'SecRule {target} "@rx a" "id:1,phase:4,pass,t:lowercase"',
        f'SecRule {target} "!@rx a" "id:2,phase:4,pass"',
        f'SecRule {target} "@streq 200" "id:3,phase:3,pass"',
        f'SecRule {target} "@contains b" "id:4,phase:4,pass,chain"\nSecRule RESPONSE_STATUS "@ge 200" "t:none"',
    ]
    judge, ours = engines.oracle(["\n".join(rules)]), engines.ours(["\n".join(rules)])
    request = Request("GET", b"/?x=b", headers([("Host", "h")]))
    for body in (b"", b"A", b"ab", b"\0b"):
        response = Response(200, headers([("Content-Type", "text/html")]), body)
        assert ours(request, response) == judge(request, response), body


def test_rules_of_the_request_are_not_told_again() -> None:
    rules = """
        SecRule ARGS "@streq 1" "id:1,phase:2,deny,status:400"
        SecRule RESPONSE_BODY "@contains x" "id:2,phase:4,deny,status:502"
    """
    clean = answer(rules, {"body": b"-"})
    assert (clean["fired"], clean["denied"], clean["score"]) == ([], False, 0)
    denied = answer(rules, {"body": b"-x-"})
    assert ([f["rule"] for f in denied["fired"]], denied["denied"], denied["status"]) == ([2], True, 502)


def test_what_they_set_and_exclude_holds() -> None:
    rules = """
        SecRule REQUEST_FILENAME "@beginsWith /a" "id:1,phase:1,pass,nolog,setvar:tx.mark=7,ctl:ruleRemoveById=3"
        SecRule TX:mark "@eq 7" "id:2,phase:3,pass"
        SecRule RESPONSE_BODY "@contains x" "id:3,phase:4,pass"
    """
    assert [f["rule"] for f in answer(rules, {"body": b"x"})["fired"]] == [2]
    assert [f["rule"] for f in answer(rules, {"body": b"x"}, {"path": b"/b"})["fired"]] == [3]


@pytest.mark.parametrize(
    ("allow", "fired"), [("allow", []), ("allow:request", [2]), ("allow:phase", [2]), ("deny", [2])]
)
def test_what_is_allowed_for_good_is_not_looked_at(allow: str, fired: list[int]) -> None:
    rules = f"""
        SecAction "id:1,phase:1,nolog,{allow}"
        SecRule RESPONSE_STATUS "@eq 200" "id:2,phase:3,pass"
    """
    assert [f["rule"] for f in answer(rules, {})["fired"]] == fired


def test_the_score_is_the_response_s() -> None:
    rules = """
        SecAction "id:1,phase:2,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=+50"
        SecRule RESPONSE_BODY "@contains x" "id:2,phase:4,pass,setvar:tx.blocking_outbound_anomaly_score=+4"
    """
    assert answer(rules, {"body": b"x"})["score"] == 4


# ---- bodies


@pytest.mark.parametrize(
    ("said", "kind", "looked_at"),
    [
        ("", b"text/html", True),
        ("", b"application/json ; charset=utf-8", True),
        ("", b"", True),
        ("", b"image/png", False),
        ("SecResponseBodyMimeType text/css", b"Text/CSS", True),
        ("SecResponseBodyMimeType text/css", b"text/html", False),
        ("SecResponseBodyMimeType text/css (null)", b"", True),
        ("SecResponseBodyMimeType text/css\nSecResponseBodyMimeType text/x", b"text/css", True),
        ("SecResponseBodyMimeType text/css\nSecResponseBodyMimeTypesClear", b"text/css", False),
        ("SecResponseBodyAccess Off", b"text/html", False),
    ],
)
def test_content_types(said: str, kind: bytes, looked_at: bool) -> None:
    """A body that is not looked at is told of; phase 4 runs all the same."""
    rules = f"""{said}
        SecRule RESPONSE_BODY "@contains x" "id:1,phase:4,pass"
        SecAction "id:2,phase:4,pass,log"
    """
    sent = [(b"content-type", kind)] if kind else []
    result = answer(rules, {"headers": sent, "body": b"xyz"})
    assert [f["rule"] for f in result["fired"]] == ([1, 2] if looked_at else [2])
    assert (result["inspected_all"], result["bytes_inspected"]) == (looked_at, 3 if looked_at else 0)


def test_a_body_is_decoded() -> None:
    sent = [*HTML["headers"], (b"content-encoding", b"gzip")]
    assert seen("RESPONSE_BODY", {"headers": sent, "body": gzip.compress(b"plain")}) == [b"plain"]


def test_one_that_cannot_be_is_told() -> None:
    """What came off is looked at."""
    sent = [*HTML["headers"], (b"content-encoding", b"gzip")]
    cut = gzip.compress(b"plain" * 100)[:-4]
    result = answer('SecRule RESPONSE_BODY "@contains plain" "id:1,phase:4,pass"', {"headers": sent, "body": cut})
    assert ([f["rule"] for f in result["fired"]], result["inspected_all"]) == ([1], False)


def test_a_bomb_stays_small() -> None:
    sent = [*HTML["headers"], (b"content-encoding", b"gzip")]
    result = answer("", {"headers": sent, "body": gzip.compress(bytes(1 << 24))})
    assert (result["inspected_all"], result["denied"]) == (False, False)


@pytest.mark.parametrize(("said", "most"), [("", 8), ("SecResponseBodyLimit 4", 4), ("SecResponseBodyLimit 99", 8)])
def test_the_lower_limit_holds(said: str, most: int) -> None:
    rules = f'{said}\nSecRule RESPONSE_BODY "@contains x" "id:1,phase:4,pass"'
    within = answer(rules, {"body": b"-" * (most - 1) + b"x"}, body_limit=8)
    assert (len(within["fired"]), within["bytes_inspected"], within["inspected_all"]) == (1, most, True)
    beyond = answer(rules, {"body": b"-" * most + b"x"}, body_limit=8)
    assert (len(beyond["fired"]), beyond["bytes_inspected"], beyond["inspected_all"]) == (0, most, False)


@pytest.mark.parametrize(("response", "cut"), [({"body": b"x"}, 0), ({"body": b"x", "partial_body": True}, 1)])
def test_outbound_data_error(response: dict[str, Any], cut: int) -> None:
    result = answer('SecRule OUTBOUND_DATA_ERROR "@eq 1" "id:1,phase:4,pass"', response)
    assert (len(result["fired"]), result["inspected_all"]) == (cut, not cut)


def test_a_request_leaves_nothing_behind() -> None:
    """One scratch serves requests and responses in turn."""
    made = program('SecRule RESPONSE_STATUS|ARGS "@rx 1" "id:1,phase:4,pass"\nSecRule ARGS "@rx 1" "id:2,phase:2,pass"')
    request = {"method": b"GET", "path": b"/?a=1"}
    for _ in range(3):
        assert [f["rule"] for f in made.run(request)["fired"]] == [2]
        assert [f["rule"] for f in made.run_response(request, HTML)["fired"]] == [1]


@pytest.mark.parametrize("size", [6, 60_000, 400_000])
def test_room_for_what_comes_off(size: int) -> None:
    """It is found, however high the limit on it; for the body of a request, too."""
    text = random.Random(size).randbytes(size // 2 - 1).hex().encode() + b"y"
    sent = [*HTML["headers"], (b"content-encoding", b"gzip")]
    rules = 'SecRule RESPONSE_BODY "@endsWith y" "id:1,phase:4,pass"'
    result = answer(rules, {"headers": sent, "body": gzip.compress(text)}, body_limit=1 << 20)
    assert (len(result["fired"]), result["inspected_all"]) == (1, True)
    form = {"method": b"POST", "path": b"/", "body": gzip.compress(b"a=" + text)}
    form["headers"] = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-encoding", b"gzip")]
    result = program('SecRule ARGS_POST:a "@endsWith y" "id:1,phase:2,pass"').run(form, body_limit=1 << 20)
    assert (len(result["fired"]), result["inspected_all"]) == (1, True)


@pytest.mark.parametrize(
    ("codings", "decoded"),
    [([b"identity", b"gzip"], True), ([b"gzip", b"gzip"], False), ([b"x", b"gzip"], False), ([b""] * 20, False)],
)
def test_several_codings(codings: list[bytes], decoded: bool) -> None:
    """Several headers are one list, so that a second one hides nothing."""
    sent = [*HTML["headers"], *((b"content-encoding", coding) for coding in codings)]
    result = answer(
        'SecRule RESPONSE_BODY "@streq x" "id:1,phase:4,pass"', {"headers": sent, "body": gzip.compress(b"x")}
    )
    assert (len(result["fired"]), result["inspected_all"]) == (decoded, decoded)
