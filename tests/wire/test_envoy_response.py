"""encode_envoy_check as Envoy reads it: facts of ext_authz are in proto/envoy and envoy_encode.cc."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from wire_verdicts import DENY, REASONS, allowed, any_verdict, banned, limited, listed, scanned, state

from ratelimitd._ext.wire import probe

OVERWRITE = 2  # OVERWRITE_IF_EXISTS_OR_ADD


@pytest.fixture(scope="module")
def parse(message):
    response_class = message("envoy.service.auth.v3.CheckResponse")
    return lambda verdict, metadata=False: response_class.FromString(probe.envoy_response(verdict, metadata))


def pairs(options):
    assert all(option.append_action == OVERWRITE for option in options)
    return [(option.header.key.encode(), option.header.value.encode()) for option in options]


def test_an_allow(parse):
    found = parse(allowed())
    assert found.HasField("status")
    assert found.status.code == 0
    assert found.WhichOneof("http_response") == "ok_response"
    assert pairs(found.ok_response.response_headers_to_add) == probe.headers(allowed())
    assert not found.HasField("dynamic_metadata")


def test_an_allow_without_limits_is_still_explicit(parse):
    """An empty CheckResponse would allow too, but says nothing."""
    found = parse({})
    assert found.HasField("status")
    assert found.HasField("ok_response")


@pytest.mark.parametrize(
    ("verdict", "code", "status"),
    [
        (limited(), 8, 429),
        (limited(status=503), 14, 503),
        (scanned(), 7, 403),
        (listed(), 7, 403),
        (listed(status=401), 16, 401),
        (listed(status=451), 7, 451),
        (listed(status=0), 7, 403),
        (banned(), 7, 403),
        (banned(status=429), 8, 429),
    ],
)
def test_a_denial(parse, verdict, code, status):
    found = parse(verdict, True)
    assert found.status.code == code
    assert found.WhichOneof("http_response") == "denied_response"
    assert found.denied_response.status.code == status
    assert pairs(found.denied_response.headers) == probe.headers(verdict)
    assert found.denied_response.body.encode() == probe.body(verdict)
    assert json.loads(found.denied_response.body)["status"] == status


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (allowed(), {"domain": "shop", "decision": "allow", "reason": "none", "limit": "per-ip"}),
        (
            allowed(shadow_denied=1, score=3, domain=b""),
            {"decision": "allow", "reason": "none", "limit": "per-ip", "shadow_denied": True, "score": 3.0},
        ),
        (
            limited(),
            {
                "domain": "shop",
                "decision": "deny",
                "reason": "over_limit",
                "limit": "login",
                "reference": "0000000000000abc",
            },
        ),
        (
            scanned(),
            {
                "domain": "shop",
                "decision": "deny",
                "reason": "scan",
                "rules": ["942100", "no-log4j"],
                "score": 5.0,
                "reference": "0123456789abcdef",
            },
        ),
        (listed(), {"decision": "deny", "reason": "deny_list", "list": "banned", "reference": "0000000000000001"}),
        (
            banned(),
            {"decision": "deny", "reason": "penalty", "penalty": "brute-force", "reference": "0000000000000001"},
        ),
    ],
)
def test_dynamic_metadata(parse, verdict, expected):
    assert json_format.MessageToDict(parse(verdict, True).dynamic_metadata) == expected


def test_text_from_clients_cannot_break_the_answer(parse):
    """A parser refuses a message whose strings are no UTF-8."""
    found = parse(allowed(domain=b"\xff\xc3\xa9\xed\xa0\x80x", states=[state("a") | {"name": b"\xc3"}]), True)
    assert found.dynamic_metadata["domain"] == "?é???x"
    long = parse(allowed(domain="é".encode() * 400), True)
    assert long.dynamic_metadata["domain"] == "é" * 256


@settings(max_examples=150, deadline=None)
@given(verdict=any_verdict)
def test_any_verdict(parse, verdict):
    found = parse(verdict, True)
    denied = verdict["decision"] == DENY
    assert (found.status.code != 0) == denied
    assert found.WhichOneof("http_response") == ("denied_response" if denied else "ok_response")
    options = found.denied_response.headers if denied else found.ok_response.response_headers_to_add
    assert pairs(options) == probe.headers(verdict)
    metadata = json_format.MessageToDict(found.dynamic_metadata)
    assert metadata["decision"] == ("deny" if denied else "allow")
    assert metadata["reason"] == REASONS[verdict["reason"]]
    assert len(metadata.get("rules", [])) == len(verdict["matches"])
