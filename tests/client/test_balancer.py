"""Functions behind an Application Load Balancer, on recorded target events of both forms."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import ALBEvent

from ratelimitd.client import CheckError, HttpClient
from ratelimitd.client.aws import guarded

from .conftest import event
from .limiter import Limiter

BOTH = pytest.mark.parametrize("name", ["alb_single", "alb_multi"])


def answer(event: Any, context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"a": "b"}, "multiValueHeaders": {"a": ["b"]}, "body": "handled"}


@BOTH
def test_a_function_is_guarded(name: str, limiter: Limiter) -> None:
    handler = guarded(HttpClient(limiter.http), on_error="deny")(answer)
    answers = [handler(event(name), None) for _ in range(3)]
    form = "headers" if name == "alb_single" else "multiValueHeaders"
    assert [a["statusCode"] for a in answers] == [200, 200, 429]
    assert answers[0]["body"] == "handled"
    fields = {k: v if name == "alb_single" else v[0] for k, v in answers[0][form].items()}
    assert fields["a"] == "b"
    assert fields["ratelimit"].startswith('"login";r=1;t=')
    denied = answers[2]
    assert set(denied) == {"statusCode", "statusDescription", "isBase64Encoded", "body", form}
    assert denied["statusDescription"] == "429 Too Many Requests"
    assert json.loads(denied["body"])["violated-policies"] == ["login"]
    fields = {k: v if name == "alb_single" else v[0] for k, v in denied[form].items()}
    assert int(fields["retry-after"]) > 0
    asked = limiter.asked[0]
    assert (asked.source_address, asked.body, asked.scheme) == ("203.0.113.7", b"user=anna", "https")
    assert asked.path == ("/login?tag=two" if name == "alb_single" else "/login?tag=one%20&tag=two")
    assert "x-amzn-trace-id" in {h.name for h in asked.headers}


def test_powertools_events_can_be_handed_on(limiter: Limiter) -> None:
    seen: list[Any] = []
    handler = guarded(HttpClient(limiter.http), on_error="deny")(lambda e, c: seen.append(e) or {"statusCode": 200})
    handler(ALBEvent(event("alb_multi")), None)
    assert isinstance(seen[0], ALBEvent)


def test_bodies_are_scanned_and_cut(limiter: Limiter) -> None:
    handler = guarded(HttpClient(limiter.http), on_error="deny", body_limit=6)(answer)
    raw = event("alb_single")
    raw["body"], raw["isBase64Encoded"] = b64encode(b"a=evil").decode(), True
    assert handler(raw, None)["statusCode"] == 403
    raw["body"] = b64encode(b"a=1&b=evil").decode()
    assert handler(raw, None)["statusCode"] == 200
    assert [(a.body, a.partial_body) for a in limiter.asked] == [(b"a=evil", False), (b"a=1&b=", True)]


def test_health_checks_are_nobody_s_request(limiter: Limiter) -> None:
    raw = event("alb_multi")
    raw["multiValueHeaders"] = {"user-agent": ["ELB-HealthChecker/2.0"]}
    handler = guarded(HttpClient(limiter.http), on_error="deny")(answer)
    said = handler(raw, None)
    assert (said["statusCode"], said["body"]) == (200, "healthy")  # and not "handled": anybody can write that header
    assert limiter.asked == []


BAD: list[Any] = [
    None,
    {},
    {"requestContext": None},
    {"requestContext": {"http": {}}},
    {"requestContext": {"elb": {}}},
    {**event("alb_single"), "headers": {"host": "a"}},
    {**event("alb_single"), "headers": {"x-forwarded-for": "unknown"}},
    {**event("alb_single"), "headers": {"x-forwarded-for": 7}},
    {**event("alb_single"), "headers": []},
    {**event("alb_single"), "body": 7},
    {**event("alb_single"), "body": "!", "isBase64Encoded": True},
    {**event("alb_single"), "path": None},
    {**event("alb_single"), "queryStringParameters": "a"},
]


@pytest.mark.parametrize("raw", BAD, ids=lambda v: str(v)[-40:])
def test_what_cannot_be_read_is_refused(raw: Any, limiter: Limiter) -> None:
    handler = guarded(HttpClient(limiter.http), on_error="allow")(answer)
    assert handler(raw, None)["statusCode"] == 400
    assert limiter.asked == []


@pytest.mark.parametrize(("on_error", "status"), [("allow", 200), ("deny", 503)])
def test_without_a_verdict_it_does_as_told(on_error: Any, status: int) -> None:
    handler = guarded(HttpClient("127.0.0.1:1"), on_error=on_error)(answer)
    assert handler(event("alb_multi"), None)["statusCode"] == status


def test_it_may_raise() -> None:
    with pytest.raises(CheckError):
        guarded(HttpClient("127.0.0.1:1"), on_error="raise")(answer)(event("alb_multi"), None)
