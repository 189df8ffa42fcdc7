"""Recorded events, bent: whatever comes, a handler answers, and lets nothing pass that was not allowed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratelimitd.client import Request, Verdict, form
from ratelimitd.client.address import bare
from ratelimitd.client.aws import authorizer, enforced, guarded

from .conftest import event

AUTHORIZERS = ["rest_token", "rest_request", "http_1", "http_2", "websocket"]
ODD: list[Any] = [
    None,
    True,
    -1,
    1e308,
    "",
    "x",
    "\ud800",
    "\0",
    "../" * 50,
    "x" * 5000,
    [],
    [None],
    [["x"]],
    {},
    {"x": None},
    {"sourceIp": "6.6.6.6"},
    "6.6.6.6",
    "arn:aws:execute-api:a:1:b/c/d/e",
    "2.0",
    "REQUEST",
    "TOKEN",
]


class Limiter:
    """Encodes what it is asked, as a client does, and says the same to everything."""

    timeout = 1.0

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed
        self.asked: list[Request] = []

    def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        form.encode(request)
        self.asked.append(request)
        return Verdict(allowed=self.allowed, status=200 if self.allowed else 429)


def bend(node: Any, chance: random.Random) -> Any:
    """The same with something replaced, left out or added somewhere."""
    if isinstance(node, dict) and node and chance.random() < 0.9:
        name = chance.choice(list(node))
        kind = chance.random()
        if kind < 0.15:
            return {k: v for k, v in node.items() if k != name}
        if kind < 0.25:
            return {**node, chance.choice(["x", "version", "type", "X-Forwarded-For"]): chance.choice(ODD)}
        return {**node, name: bend(node[name], chance)}
    return chance.choice(ODD)


def allows(answer: Any) -> bool:
    if "isAuthorized" in answer:
        return bool(answer["isAuthorized"])
    return any(s["Effect"] == "Allow" for s in answer["policyDocument"]["Statement"])


@pytest.mark.parametrize("name", AUTHORIZERS)
def test_bent_authorizer_events(name: str) -> None:
    chance = random.Random(name)
    never, always = Limiter(False), Limiter(True)
    closed = authorizer(never, on_error="deny")
    open_ = authorizer(always, on_error="deny")
    for _ in range(600):
        bent = event(name)
        for _ in range(chance.randint(1, 3)):
            bent = bend(bent, chance)
        assert not allows(closed(bent, None))
        before = len(always.asked)
        if allows(open_(bent, None)):
            asked = always.asked[before]
            assert bent["type"] == "TOKEN" or bare(asked.source_address)
            assert asked.source_address != "6.6.6.6" or bent["requestContext"] != event(name).get("requestContext")
    assert len(always.asked) > 20  # some are still good events


@pytest.mark.parametrize("name", ["alb_single", "alb_multi"])
def test_bent_target_events(name: str) -> None:
    chance = random.Random(name)
    handled: list[Any] = []
    handler = guarded(Limiter(False), on_error="allow")(lambda e, c: handled.append(e))
    for _ in range(1000):
        bent = event(name)
        for _ in range(chance.randint(1, 3)):
            bent = bend(bent, chance)
        assert handler(bent, None)["statusCode"] in (200, 400, 429, 503)  # 200: a health check's
    assert handled == []


def test_bent_events_of_the_function_behind() -> None:
    chance = random.Random(1)
    handled: list[Any] = []
    handler = enforced(lambda e, c: handled.append(e))
    good = {"requestContext": {"authorizer": {"lambda": {"ratelimitd_decision": "deny", "ratelimitd_status": "429"}}}}
    for _ in range(1000):
        answer = handler(bend(good, chance), None)
        assert answer["statusCode"] in (403, 429, 503)
    assert handled == []
