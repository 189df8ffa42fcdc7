"""encode_check and append_batch_response as the official runtime reads them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from wire_verdicts import DENY, allowed, any_verdict, banned, limited, listed, scanned

from ratelimitd._ext.wire import probe


@pytest.fixture(scope="module")
def response_class(message):
    return message("ratelimitd.v1.CheckResponse")


@pytest.fixture(scope="module")
def parse(response_class):
    return lambda verdict: response_class.FromString(probe.check_response(verdict))


def with_headers(verdict):
    return [{"name": name.decode(), "value": value} for name, value in probe.headers(verdict)]


def test_an_allow(parse, response_class):
    limits = [
        {"name": "per-ip", "limit": 100, "remaining": 7, "window_ms": 60000, "reset_after_ms": 12001},
        {"name": "plan", "limit": 1000, "remaining": 990, "window_ms": 60000, "reset_after_ms": 12001},
    ]
    expected = response_class(decision=1, status=200, limits=limits, headers=with_headers(allowed()), domain="shop")
    assert parse(allowed()) == expected


def test_a_limit_denies(parse):
    found = parse(limited())
    assert (found.decision, found.reason, found.status) == (2, 3, 429)
    assert (found.decided_by, found.reference) == ("login", "0000000000000abc")
    assert [(s.name, s.over) for s in found.limits] == [("per-ip", False), ("login", True)]


def test_a_scan_denies(parse, response_class):
    assert parse(scanned()) == response_class(
        decision=2,
        status=403,
        reason=4,
        decided_by="942100",
        matches=[{"id": "942100", "target": "args:id", "score": 5}, {"id": "no-log4j", "target": "body"}],
        score=5,
        bytes_inspected=300,
        inspected_all=True,
        headers=with_headers(scanned()),
        reference="0123456789abcdef",
        domain="shop",
    )


def test_a_list_denies(parse):
    assert parse(listed()).decided_by == "banned"


def test_a_ban_denies_and_says_how_long(parse):
    found = parse(banned())
    assert (found.reason, found.decided_by) == (8, "brute-force")
    assert ("retry-after", "600") in [(h.name, h.value.decode()) for h in found.headers]


def test_defaults_are_left_out():
    assert probe.check_response({"status": 0}) == b"\x08\x01"


def test_a_target_from_a_client_cannot_break_the_answer(parse):
    found = parse(scanned(matches=[{"id": b"1", "target": b"args:\xff\xfe" + "é".encode() * 1000}]))
    assert found.matches[0].target.startswith("args:??é")
    assert len(found.matches[0].target.encode()) <= 512


def test_a_batch_is_its_answers_in_order(message, response_class):
    verdicts = [allowed(), limited(), scanned(), {}]
    found = message("ratelimitd.v1.CheckBatchResponse").FromString(probe.batch_response(verdicts))
    assert list(found.responses) == [response_class.FromString(probe.check_response(v)) for v in verdicts]


@settings(max_examples=150, deadline=None)
@given(verdict=any_verdict)
def test_any_verdict(parse, message, verdict):
    found = parse(verdict)
    assert found.decision == (2 if verdict["decision"] == DENY else 1)
    assert len(found.limits) == len(verdict["states"])
    for state, given_state in zip(found.limits, verdict["states"], strict=True):
        for field in ("limit", "remaining", "window_ms", "reset_after_ms", "over", "shadow", "unlimited"):
            assert getattr(state, field) == given_state[field]
    assert [match.score for match in found.matches] == [match["score"] for match in verdict["matches"]]
    assert [(h.name.encode(), h.value) for h in found.headers] == probe.headers(verdict)
    batch = message("ratelimitd.v1.CheckBatchResponse").FromString(probe.batch_response([verdict, verdict]))
    assert list(batch.responses) == [found, found]
