"""Requests read from JSON: every error names the field; and explanations in words."""

from __future__ import annotations

import pytest

from ratelimitd.policy.evaluate import evaluate, key_text
from ratelimitd.policy.plan import Algorithm, Cidr, Client, Condition, KeyPart, Limit, Match, Op, Rate, Source
from ratelimitd.policy.request import Request, from_mapping


def test_a_request_is_read_with_defaults() -> None:
    assert from_mapping({}) == Request()
    request = from_mapping(
        {
            "method": "POST",
            "path": "/ä?x=1",
            "headers": {"X-A": "1", "Cookie": ["a=1", "b=2"], "host": "h:80"},
            "ip": "203.0.113.7",
            "attributes": [["route", "r"]],
            "body": "b",
            "cost": 0,
        }
    )
    assert request.path == "/ä?x=1".encode()
    assert request.headers == ((b"x-a", b"1"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"host", b"h:80"))
    assert (request.host, request.source_address, request.body, request.cost) == (b"h:80", b"203.0.113.7", b"b", 0)
    assert request.attributes == ((b"route", b"r"),)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "a request is an object, not an array"),
        ({"methd": "GET"}, "unknown field 'methd'"),
        ({"path": 7}, "path must be a string, not a number"),
        ({"headers": {"a": None}}, "headers.a must be a string, not null"),
        ({"headers": [["a"]]}, r"headers\[0\] must be \[name, value\]"),
        ({"headers": [["a", 1]]}, r"headers\[0\]\[1\] must be a string, not a number"),
        ({"headers": "a: b"}, "headers must be an object or an array"),
        ({"headers": {str(i): "" for i in range(257)}}, "headers has 257 entries; at most 256"),
        ({"attributes": {str(i): "" for i in range(65)}}, "attributes has 65 entries; at most 64"),
        ({"cost": True}, "cost must be a whole number, not a boolean"),
        ({"cost": -1}, "cost must be between 0 and 4294967295, not -1"),
        ({"partial_body": 1}, "partial_body must be true or false"),
        ({"ip": "::1", "source_address": "::1"}, "give one"),
        ({"body": "\ud800"}, "lone surrogate"),
    ],
)
def test_a_bad_request_says_which_field_and_why(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_mapping(value)


def test_a_match_that_fails_says_which_condition_of_each_alternative() -> None:
    get = Condition(Source.METHOD, Op.EXACT, operands=(b"GET",))
    login = Condition(Source.PATH, Op.EXACT, operands=(b"/login",))
    plan = Condition(Source.HEADER, Op.EXACT, b"x-plan", (b"gold", b"iron"))
    office = Condition(Source.CLIENT_IP, Op.CIDR, cidrs=(Cidr(bytes(10) + b"\xff\xff\x0a\0\0\0", 104),))
    request = Request(method=b"GET", path=b"/logout", source_address=b"192.0.2.1")
    assert evaluate(Match(((get,),)), request) == (True, None)
    assert evaluate(Match(((get, login), (plan,), (office,))), request) == (
        False,
        "path = /login, but it is /logout; header x-plan = gold | iron, but it is absent; "
        "client.ip in 10.0.0.0/8, but it is 192.0.2.1",
    )
    assert evaluate(Match(()), request) == (False, "it matches nothing")


def test_a_key_is_its_parts_joined_and_a_missing_part_is_empty_or_skips() -> None:
    match = Match(((Condition(Source.PATH, Op.GLOB, operands=(b"/users/{id}/**",)),),))
    parts = (KeyPart(Source.CONSTANT, b"v1"), KeyPart(Source.PATH_PARAM, b"id"), KeyPart(Source.HEADER, b"x-key"))
    limit = Limit(b"n", bytes(16), match, parts, Rate(1, 1000), Algorithm.FIXED_WINDOW)
    request = Request(path=b"/users/7/x")
    assert key_text(limit, request, Client()) == b"v1|7|"
    skipping = Limit(b"n", bytes(16), match, parts, Rate(1, 1000), Algorithm.FIXED_WINDOW, skip_missing_key=True)
    assert key_text(skipping, request, Client()) is None
    assert key_text(Limit(b"n", bytes(16), match, (), Rate(1, 1000), Algorithm.FIXED_WINDOW), request, Client()) == b""
