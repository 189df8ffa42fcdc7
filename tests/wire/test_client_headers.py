"""What the client is told: RateLimit fields, Retry-After, problem details."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from wire_verdicts import (
    DENY_LIST,
    IETF,
    OVERLOAD,
    X_RATELIMIT,
    allowed,
    any_verdict,
    limited,
    listed,
    scanned,
    state,
)

from ratelimitd._ext.wire import probe


def headers(verdict):
    found = probe.headers(verdict)
    assert len(found) <= 10
    assert len(dict(found)) == len(found)
    assert all(name == name.lower() for name, _ in found)
    return {name.decode(): value.decode() for name, value in found}


def test_an_allow_tells_every_limit_and_the_tightest():
    assert headers(allowed()) == {
        "ratelimit-policy": '"per-ip";q=100;w=60, "plan";q=1000;w=60',
        "ratelimit": '"per-ip";r=7;t=13',
        "x-ratelimit-limit": "100",
        "x-ratelimit-remaining": "7",
        "x-ratelimit-reset": "13",
    }


@pytest.mark.parametrize(
    ("families", "names"),
    [
        (0, set()),
        (IETF, {"ratelimit-policy", "ratelimit"}),
        (X_RATELIMIT, {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}),
    ],
)
def test_the_policy_chooses_the_families(families, names):
    assert headers(allowed(header_families=families)).keys() == names
    assert headers(limited(header_families=families)).keys() == names | {"retry-after", "content-type"}


def test_a_denial_tells_the_limit_that_decided_and_agrees_with_retry_after():
    found = headers(limited(tightest_state=0, retry_after_s=13))
    assert found["ratelimit"] == '"login";r=0;t=13'
    assert found["x-ratelimit-limit"] == "5"
    assert found["x-ratelimit-reset"] == found["retry-after"] == "13"
    assert found["content-type"] == "application/problem+json"
    assert "x-ratelimitd-reference" not in found


def test_shadow_and_unlimited_limits_are_not_told():
    states = [state("shadow", shadow=1, over=1), state("free", unlimited=1), state("real")]
    assert headers(allowed(states=states, tightest_state=2, header_families=IETF)) == {
        "ratelimit-policy": '"real";q=100;w=60',
        "ratelimit": '"real";r=40;t=13',
    }
    assert headers(allowed(states=states[:2], tightest_state=-1)) == {}
    assert headers(allowed(states=states, tightest_state=0)).keys() == {"ratelimit-policy"}


@pytest.mark.parametrize(("ms", "seconds"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (2**32 - 1, 4294968)])
def test_seconds_are_rounded_up(ms, seconds):
    verdict = allowed(states=[state("a", reset_after_ms=ms)], header_families=X_RATELIMIT)
    assert headers(verdict)["x-ratelimit-reset"] == str(seconds)


def test_ratelimit_policy_is_bounded_by_whole_items():
    states = [state(f"limit-{i:02}-{'x' * 60}") for i in range(32)]
    policy = headers(allowed(states=states))["ratelimit-policy"]
    assert 900 < len(policy) <= 1024
    assert policy == ", ".join(s["policy_item"].decode() for s in states[: policy.count(",") + 1])


@pytest.mark.parametrize(
    ("name", "item", "quoted"),
    [
        ('a"b', '"a\\"b";q=1;w=1', '"a\\"b"'),
        ('ab"', '"ab\\"";q=1;w=1', '"ab\\""'),
        ("a\\", '"a\\\\";q=1;w=1', '"a\\\\"'),
        ("bad\r\nset-cookie: x", '"x";q=1;w=1', '"bad??set-cookie: x"'),
        ("name", "", '"name"'),
    ],
)
def test_a_name_is_a_structured_field_string(name, item, quoted):
    states = [state("x") | {"name": name.encode(), "policy_item": item.encode()}]
    assert headers(allowed(states=states))["ratelimit"] == quoted + ";r=40;t=13"


def test_scans_and_lists_tell_a_reference_only():
    for verdict, reference in ((scanned(), "0123456789abcdef"), (listed(), "0000000000000001")):
        found = headers(verdict)
        assert found == {"content-type": "application/problem+json", "x-ratelimitd-reference": reference}
        body = probe.body(verdict)
        assert json.loads(body) == {"title": "Forbidden", "status": 403, "reference": reference}


def test_a_limit_is_named_in_problem_details():
    states = [state("per-ip"), state("watched", over=1, shadow=1), state("login", over=1), state('q"\\\x01é', over=1)]
    assert json.loads(probe.body(limited(states=states, deciding_state=2))) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": ["login", 'q"\\\x01é'],
    }


def test_overload_is_a_reduced_capacity():
    problem = json.loads(probe.body(listed(reason=OVERLOAD, status=503, retry_after_s=1)))
    assert problem["type"].endswith("#temporary-reduced-capacity")
    assert problem["status"] == 503


@pytest.mark.parametrize("status", [0, 99, 199, 600, 65535])
def test_a_senseless_status_is_403(status):
    assert json.loads(probe.body(listed(status=status)))["status"] == 403


@settings(max_examples=150, deadline=None)
@given(verdict=any_verdict)
def test_any_verdict(verdict):
    """Headers hold no control character; bodies are JSON and name neither rule nor list."""
    for name, value in probe.headers(verdict):
        assert all(0x20 <= byte <= 0x7E for byte in name + value)
    problem = json.loads(probe.body(verdict))
    assert problem.keys() <= {"type", "title", "status", "violated-policies", "reference"}
    if verdict["reason"] == DENY_LIST:
        assert "violated-policies" not in problem
