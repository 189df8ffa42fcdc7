"""The Lambda authorizer on recorded events of each kind, against a real limiter."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerEventV2,
    APIGatewayAuthorizerRequestEvent,
    APIGatewayAuthorizerResponseV2,
    APIGatewayAuthorizerResponseWebSocket,
    APIGatewayAuthorizerTokenEvent,
)
from aws_lambda_powertools.utilities.data_classes.common import DictWrapper

from ratelimitd.client import CheckError, Client, HttpClient, Request, Verdict, outcome
from ratelimitd.client.aws import Event, EventError, Identity, authorizer, enforced, parse

from .conftest import event
from .limiter import Limiter

KINDS = {
    "rest_token": "rest-token",
    "rest_request": "rest-request",
    "http_1": "http-1.0",
    "http_2": "http-2.0",
    "websocket": "websocket",
}
EVERY = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(autouse=True)
def outspoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "_complaints", outcome._Complaints())


@pytest.fixture
def client(limiter: Limiter) -> Iterator[HttpClient]:
    with HttpClient(limiter.http) as made:
        yield made


def allows(answer: dict[str, Any]) -> bool:
    """What API Gateway would make of it."""
    if "isAuthorized" in answer:
        return bool(answer["isAuthorized"])
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert answer["principalId"]
    return bool(statement["Effect"] == "Allow")


@EVERY
def test_each_kind_is_recognised_and_limited(name: str, client: HttpClient, limiter: Limiter) -> None:
    handler = authorizer(client, on_error="deny")
    answers = [handler(event(name), None) for _ in range(4)]
    limit = "per-token" if name == "rest_token" else "sockets" if name == "websocket" else "login"
    passed = 3 if name == "rest_token" else 2
    assert [allows(a) for a in answers] == [i < passed for i in range(4)]
    said = answers[-1]["context"]
    assert {k: said[f"ratelimitd_{k}"] for k in ("decision", "status", "reason", "limit")} == {
        "decision": "deny",
        "status": "429",
        "reason": "over_limit",
        "limit": limit,
    }
    assert int(said["ratelimitd_retry_after"]) > 0
    assert said["ratelimitd_ratelimit"].startswith(f'"{limit}";r=0;t=')
    assert said["ratelimitd_reference"]
    assert answers[0]["context"]["ratelimitd_decision"] == "allow"
    assert all(isinstance(v, str) for a in answers for v in a["context"].values())
    asked = limiter.asked[0]
    assert asked.source_address == ("" if name == "rest_token" else "203.0.113.7")
    assert asked.attributes["stage"] in ("prod", "$default")
    assert "isAuthorized" in answers[0] if name == "http_2" else "policyDocument" in answers[0]


def test_requests_are_told_as_the_client_sent_them(client: HttpClient, limiter: Limiter) -> None:
    handler = authorizer(client, on_error="deny")
    for name in KINDS:
        handler(event(name), None)
    assert [(a.method, a.path) for a in limiter.asked] == [
        ("GET", "/pets/42"),
        ("POST", "/login?next=/home%3Fa%3Db%20c&tag=one&tag=two"),
        ("POST", "/login?tag=two"),
        ("POST", "/login?next=%2Fhome%3Fa%3Db%20c&tag=one&tag=two"),
        ("GET", "/?room=42"),
    ]
    assert [a.attributes["route"] for a in limiter.asked if "route" in a.attributes] == [
        "/login",
        "/login",
        "POST /login",
        "$connect",
    ]
    keys = [h.value for h in limiter.asked[1].headers if h.name == "X-Api-Key"]
    assert keys == [b"k-1", b"k-2"]
    assert [h.value for h in limiter.asked[3].headers if h.name == "cookie"] == [b"session=s1; theme=dark"]
    assert {a.host for a in limiter.asked[1:]} == {event(n)["requestContext"]["domainName"] for n in list(KINDS)[1:]}


@EVERY
def test_events_are_read_as_powertools_reads_them(name: str) -> None:
    raw = event(name)
    ours = parse(raw)
    assert ours.kind == KINDS[name]
    theirs: Any
    if name == "rest_token":
        theirs = APIGatewayAuthorizerTokenEvent(raw)
        assert (ours.token, ours.arn) == (theirs.authorization_token, theirs.method_arn)
        arn = theirs.parsed_arn
        assert (ours.api_id, ours.stage, ours.method, ours.path) == (
            arn.api_id,
            arn.stage,
            arn.http_method,
            "/" + arn.resource,
        )
        return
    if name == "http_2":
        theirs = APIGatewayAuthorizerEventV2(raw)
        http = theirs.request_context.http
        assert (ours.arn, ours.method, ours.route) == (theirs.route_arn, http.method, theirs.route_key)
        assert (ours.path, ours.source_address) == (f"{theirs.raw_path}?{theirs.raw_query_string}", http.source_ip)
    else:
        theirs = APIGatewayAuthorizerRequestEvent(raw)
        assert (ours.arn, ours.source_address) == (theirs.method_arn, theirs.request_context.identity.source_ip)
        if name != "websocket":
            assert (ours.method, ours.path.partition("?")[0]) == (theirs.http_method, theirs.path)
    assert (ours.api_id, ours.stage) == (theirs.request_context.api_id, theirs.request_context.stage)
    assert ours.host == theirs.request_context.domain_name


@pytest.mark.parametrize(
    ("name", "wrapper"),
    [
        ("rest_token", APIGatewayAuthorizerTokenEvent),
        ("rest_request", APIGatewayAuthorizerRequestEvent),
        ("http_2", APIGatewayAuthorizerEventV2),
    ],
)
def test_powertools_events_can_be_handed_on(name: str, wrapper: type[DictWrapper], client: HttpClient) -> None:
    handler = authorizer(client, on_error="deny")
    assert allows(handler(wrapper(event(name)), None))
    assert enforced(lambda e, c: e)(wrapper({"requestContext": {"authorizer": {"ratelimitd_decision": "allow"}}}), None)


def test_answers_are_those_of_powertools(client: HttpClient) -> None:
    handler = authorizer(client, on_error="deny")
    answer = handler(event("http_2"), None)
    assert answer == APIGatewayAuthorizerResponseV2(authorize=True, context=answer["context"]).asdict()
    answer = handler(event("websocket"), None)
    theirs = APIGatewayAuthorizerResponseWebSocket(
        principal_id="203.0.113.7",
        region="eu-central-1",
        aws_account_id="123456789012",
        api_id="w1s2o3c4k5",
        stage="prod",
        context=answer["context"],
    )
    theirs.allow_all_routes()
    assert set(theirs.asdict()) == set(answer)
    assert theirs.asdict()["policyDocument"]["Version"] == answer["policyDocument"]["Version"]


def test_http_apis_may_expect_iam_policies(client: HttpClient) -> None:
    answer = authorizer(client, on_error="deny", http_api="iam")(event("http_2"), None)
    assert answer["policyDocument"]["Statement"][0]["Resource"] == event("http_2")["routeArn"]


@EVERY
@pytest.mark.parametrize("on_error", ["allow", "deny", "raise"])
def test_without_a_verdict_it_does_as_told(name: str, on_error: Any, caplog: pytest.LogCaptureFixture) -> None:
    handler = authorizer(HttpClient("127.0.0.1:1"), on_error=on_error)
    if on_error == "raise":
        with pytest.raises(CheckError):
            handler(event(name), None)
        return
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        answer = handler(event(name), None)
    assert allows(answer) is (on_error == "allow")
    assert answer["context"]["ratelimitd_reason"] == "no_answer"
    assert answer["context"]["ratelimitd_status"] == ("200" if on_error == "allow" else "503")
    assert "UNAVAILABLE" in caplog.text
    assert "Traceback" not in caplog.text


UNKNOWN: list[Any] = [
    None,
    [],
    "event",
    {},
    {"type": "TOKEN"},
    {"type": "TOKEN", "methodArn": "arn:aws:execute-api", "authorizationToken": "t"},
    {"type": "TOKEN", "methodArn": 7, "authorizationToken": "t"},
    {"type": "REQUEST", "version": "3.0", "routeArn": "arn:aws:execute-api:a:1:b/c"},
    {"type": "REQUEST", "version": "2.0"},
    {"type": "REQUEST", "version": 2.0, "routeArn": "arn:aws:execute-api:a:1:b/c/GET/"},
    {"Records": []},
    {"httpMethod": "GET", "requestContext": {"elb": {}}},
]


@pytest.mark.parametrize("on_error", ["allow", "deny"])
@pytest.mark.parametrize("unknown", UNKNOWN, ids=lambda v: str(v)[:40])
def test_an_unknown_event_allows_nothing(
    unknown: Any, on_error: Any, client: HttpClient, limiter: Limiter, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nothing in it that could be allowed."""
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        answer = authorizer(client, on_error=on_error)(unknown, None)
    assert not allows(answer)
    assert "authorizer event" in caplog.text
    assert limiter.asked == []


def without(raw: Any, *path: str) -> Any:
    changed = copy.deepcopy(raw)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]
    return changed


MISSING = [
    ("rest_request", ("requestContext", "identity", "sourceIp")),
    ("rest_request", ("requestContext", "identity")),
    ("rest_request", ("requestContext",)),
    ("rest_request", ("httpMethod",)),
    ("http_1", ("path",)),
    ("http_2", ("requestContext", "http", "sourceIp")),
    ("http_2", ("requestContext", "http", "method")),
    ("http_2", ("rawPath",)),
    ("websocket", ("requestContext", "identity", "sourceIp")),
]


@pytest.mark.parametrize(("name", "path"), MISSING)
def test_an_event_that_lacks_something_is_a_failure_of_the_gateway(
    name: str, path: tuple[str, ...], client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    raw = without(event(name), *path)
    with pytest.raises(EventError):
        parse(raw)
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        assert not allows(authorizer(client, on_error="deny")(raw, None))
        assert allows(authorizer(client, on_error="allow")(raw, None))
        # Who asks was not found out: nothing may make up for that.
        knows = authorizer(client, on_error="allow", authenticate=lambda e: Identity("anna"))
        assert not allows(knows(raw, None))
    assert any(name in caplog.text for name in (path[-1], "sourceIp"))


@pytest.mark.parametrize("name", ["rest_request", "http_1", "http_2", "websocket"])
@pytest.mark.parametrize(
    ("hops", "claimed", "client_address"),
    [
        (0, "6.6.6.6", "203.0.113.7"),
        (0, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (1, "6.6.6.6, 198.51.100.1, 203.0.113.7", "198.51.100.1"),  # CloudFront at 203.0.113.7 saw 198.51.100.1
        (1, "6.6.6.6, 198.51.100.1", "198.51.100.1"),
    ],
)
def test_a_spoofed_header_fools_nobody(
    name: str, hops: int, claimed: str, client_address: str, client: HttpClient, limiter: Limiter
) -> None:
    raw = event(name)
    for headers in (raw["headers"], raw.get("multiValueHeaders")):
        for key in headers or ():
            if key.lower() == "x-forwarded-for":
                headers[key] = claimed if headers is raw["headers"] else [claimed]
    authorizer(client, on_error="deny", trusted_hops=hops)(raw, None)
    (asked,) = limiter.asked
    assert asked.source_address == client_address
    assert [h.value.decode() for h in asked.headers if h.name.lower() == "x-forwarded-for"] == [client_address]


def test_an_address_that_the_client_could_have_written_is_refused(client: HttpClient) -> None:
    raw = event("http_2")
    raw["headers"]["x-forwarded-for"] = "nonsense, 203.0.113.7"
    assert not allows(authorizer(client, on_error="allow", trusted_hops=1)(raw, None))


def test_what_the_client_claims_is_scanned_all_the_same(client: HttpClient) -> None:
    raw = event("http_2")
    raw["headers"]["x-forwarded-for"] = "evil"
    answer = authorizer(client, on_error="deny")(raw, None)
    assert not allows(answer)
    assert answer["context"]["ratelimitd_reason"] == "scan"
    assert answer["context"]["ratelimitd_title"] == "Forbidden"
    assert "1001" not in str(answer)  # a rule is nobody's business but ours


@EVERY
def test_soft_denials_pass_and_are_answered_by_the_function_behind(name: str, client: HttpClient) -> None:
    handler = authorizer(client, on_error="deny", soft_deny=True)
    answers = [handler(event(name), None) for _ in range(4)]
    assert all(allows(a) for a in answers)

    @enforced
    def behind(event: Any, context: Any) -> dict[str, Any]:
        return {"statusCode": 200}

    def proxied(answer: dict[str, Any]) -> dict[str, Any]:
        said = answer["context"]
        return {
            "requestContext": {"authorizer": {"lambda": said} if name == "http_2" else {"principalId": "x", **said}}
        }

    assert behind(proxied(answers[0]), None) == {"statusCode": 200}
    denied = behind(proxied(answers[-1]), None)
    assert denied["statusCode"] == 429
    assert int(denied["headers"]["retry-after"]) > 0
    assert denied["headers"]["content-type"] == "application/problem+json"
    assert set(denied["headers"]) >= {"ratelimit", "ratelimit-policy"}
    assert '"type":"https://iana.org/assignments/http-problem-types#quota-exceeded"' in denied["body"]


def test_a_soft_block_is_answered_by_its_reference(client: HttpClient) -> None:
    raw = event("http_2")
    raw["rawQueryString"] = "q=evil"
    said = authorizer(client, on_error="deny", soft_deny=True)(raw, None)["context"]
    denied = enforced(lambda e, c: None)({"requestContext": {"authorizer": {"lambda": said}}}, None)
    assert denied["statusCode"] == 403
    assert denied["headers"]["x-ratelimitd-reference"] == said["ratelimitd_reference"]
    assert said["ratelimitd_reference"] in denied["body"]


@pytest.mark.parametrize(
    "raw", [{}, {"requestContext": None}, {"requestContext": {"authorizer": {"ratelimitd_decision": "?"}}}, None, []]
)
def test_a_route_without_the_authorizer_lets_nothing_pass(raw: Any) -> None:
    assert enforced(lambda e, c: {"statusCode": 200})(raw, None)["statusCode"] == 503


def test_a_cached_allow_is_charged_for(client: HttpClient, limiter: Limiter) -> None:
    handler = authorizer(client, on_error="deny", lease=10, scope="stage")
    raw = event("rest_request")
    raw["resource"] = raw["path"] = "/leased"
    answers = [handler(raw, None) for _ in range(3)]
    assert [allows(a) for a in answers] == [True, True, False]
    assert [a.cost for a in limiter.asked] == [10, 10, 10]
    resources = [a["policyDocument"]["Statement"][0]["Resource"] for a in answers]
    assert resources[0] == "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/*"
    assert resources[2] == raw["methodArn"]


def test_who_asks_goes_to_the_policy_and_to_the_integration(client: HttpClient, limiter: Limiter) -> None:
    def authenticate(asked: Event) -> Identity | None:
        if asked.token != "Bearer gold-1":
            return None
        return Identity("anna", {"plan": "gold"}, {"tenant": "t1", "admin": True}, usage_key="u1")

    handler = authorizer(client, on_error="deny", authenticate=authenticate)
    answer = handler(event("rest_token"), None)
    assert (answer["principalId"], answer["usageIdentifierKey"]) == ("anna", "u1")
    assert (answer["context"]["tenant"], answer["context"]["admin"]) == ("t1", True)
    assert limiter.asked[0].attributes["plan"] == "gold"
    assert limiter.asked[0].attributes["principal"] == "anna"
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler(event("rest_request"), None)


def test_an_authentication_may_refuse_as_authorizers_do(client: HttpClient) -> None:
    def refuse(asked: Event) -> Identity:
        raise Exception("Unauthorized")

    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer(client, on_error="allow", authenticate=refuse)(event("http_2"), None)


def test_an_authentication_that_fails_denies_whatever_on_error_says(
    client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(asked: Event) -> Identity:
        raise KeyError("jwks")

    def nested(asked: Event) -> Identity:
        return Identity("anna", context={"claims": {}})  # type: ignore[dict-item]

    with caplog.at_level(logging.WARNING, "ratelimitd"):
        for authenticate in (broken, nested):
            for soft in (False, True):
                handler = authorizer(client, on_error="allow", authenticate=authenticate, soft_deny=soft)
                assert not allows(handler(event("http_2"), None))
    assert "authenticate failed" in caplog.text


def test_a_fault_of_ours_denies(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        timeout = 1.0

        def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
            raise RuntimeError("a fault")

    with caplog.at_level(logging.WARNING, "ratelimitd"):
        assert not allows(authorizer(Broken(), on_error="allow", soft_deny=True)(event("http_2"), None))
    assert "a fault" in caplog.text


def test_the_deadline_is_bounded_by_the_function_s_own() -> None:
    class Context:
        @staticmethod
        def get_remaining_time_in_millis() -> int:
            return 50

    class Patient:
        timeout = 1.0
        given: float | None = None

        def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
            self.given = timeout
            return Verdict(allowed=True, status=200)

    patient = Patient()
    authorizer(patient, on_error="deny")(event("http_2"), Context())
    assert patient.given == pytest.approx(0.03)


def test_grpc_will_do_as_well(limiter: Limiter) -> None:
    with Client(limiter.grpc) as client:
        handler = authorizer(client, on_error="deny")
        assert [allows(handler(event("http_2"), None)) for _ in range(3)] == [True, True, False]


def test_settings_are_checked_at_import_time(client: HttpClient) -> None:
    with pytest.raises(ValueError, match="on_error"):
        authorizer(client, on_error="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lease"):
        authorizer(client, on_error="deny", lease=0)
