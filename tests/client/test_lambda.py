"""The example's functions as Lambda runs them: the real runtime client, recorded events, a real limiter."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ratelimitd.client import Verdict
from ratelimitd.client.aws.answers import context

from .conftest import event
from .limiter import Limiter
from .runtime_api import FunctionError, RuntimeApi, function
from .serving import EXAMPLES

SOURCES = EXAMPLES / "lambda" / "src"
TEMPLATE = EXAMPLES / "lambda" / "template.yaml"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def authorizer(limiter: Limiter, log: Path) -> Iterator[RuntimeApi]:
    with function("authorizer.handler", SOURCES, log, RATELIMITD_ADDRESS=limiter.http) as api:
        yield api


def effect(answer: Any) -> str:
    return str(answer["policyDocument"]["Statement"][0]["Effect"])


def test_one_function_answers_every_kind_of_event(authorizer: RuntimeApi, limiter: Limiter, log: Path) -> None:
    """In one process, as each start of one takes a while."""
    tokens = [authorizer.invoke(event("rest_token")) for _ in range(4)]
    assert [effect(a) for a in tokens] == ["Allow"] * 3 + ["Deny"]
    assert tokens[0]["principalId"] == "anna"
    assert tokens[0]["context"]["plan"] == "gold"
    assert tokens[3]["context"]["ratelimitd_status"] == "429"

    requests = [authorizer.invoke(event("rest_request")) for _ in range(3)]
    assert [effect(a) for a in requests] == ["Allow", "Allow", "Deny"]

    # The token of the HTTP events is used up by now, whichever door it comes through.
    assert effect(authorizer.invoke(event("http_1"))) == "Deny"
    assert authorizer.invoke(event("http_2"))["isAuthorized"] is False

    sockets = [authorizer.invoke(event("websocket")) for _ in range(3)]
    assert [effect(a) for a in sockets] == ["Allow", "Allow", "Deny"]

    for unknown in ({}, {"type": "REQUEST"}, [], None, "text"):
        assert effect(authorizer.invoke(unknown)) == "Deny"
    stranger = event("rest_token")
    stranger["authorizationToken"] = "Bearer nobody"
    with pytest.raises(FunctionError, match=r"^error: Unauthorized$"):
        authorizer.invoke(stranger)

    assert limiter.connections == 1  # it stays warm
    assert "authorizer event" in log.read_text()


def test_an_outage_of_the_limiter_is_what_the_function_was_told(log: Path) -> None:
    environ = {"RATELIMITD_ADDRESS": "127.0.0.1:1", "ON_ERROR": "allow"}
    with function("authorizer.handler", SOURCES, log, **environ) as api:
        answer = api.invoke(event("rest_request"))
    assert effect(answer) == "Allow"
    assert answer["context"]["ratelimitd_reason"] == "no_answer"
    assert "UNAVAILABLE" in log.read_text()


def test_the_functions_behind(limiter: Limiter, log: Path) -> None:
    with function("app.http_handler", SOURCES, log) as api:
        allowed = {"ratelimitd_decision": "allow"}
        denied = {"ratelimitd_decision": "deny", "ratelimitd_status": "429", "ratelimitd_retry_after": "7"}
        behind = [{"requestContext": {"authorizer": {"lambda": c}}} for c in (allowed, denied, {})]
        answers = [api.invoke(e) for e in behind]
    assert [a["statusCode"] for a in answers] == [200, 429, 503]
    assert answers[1]["headers"]["retry-after"] == "7"
    with function("app.alb_handler", SOURCES, log, RATELIMITD_ADDRESS=limiter.http) as api:
        assert [api.invoke(event("alb_multi"))["statusCode"] for _ in range(3)] == [200, 200, 429]


def test_cloudformation_accepts_the_template() -> None:
    """By cfn-lint, offline, with SAM's transformation."""
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, TEMPLATE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_template_caches_nothing_and_makes_denials_429() -> None:
    resources = _plain(TEMPLATE)["Resources"]
    for api in ("RestApi", "HttpApi"):
        (authorizer,) = resources[api]["Properties"]["Auth"]["Authorizers"].values()
        assert authorizer["Identity"]["ReauthorizeEvery"] == 0
    denied = resources["RestApi"]["Properties"]["GatewayResponses"]["ACCESS_DENIED"]
    assert denied["StatusCode"] == 429
    named = str(denied["ResponseParameters"]) + denied["ResponseTemplates"]["application/json"]
    fields = tuple((name, "1") for name in ("retry-after", "ratelimit", "ratelimit-policy"))
    known = context(Verdict(allowed=False, status=429, reason="over_limit", headers=fields, reference="r"))
    used = set(re.findall(r"context\.authorizer\.(\w+)", named))
    assert used <= set(known)
    assert len(used) >= 5


def _plain(path: Path) -> Any:
    """The template with CloudFormation's short forms as plain values."""
    yaml = YAML(typ="rt")
    return yaml.load(path.read_text())
