"""Bad input at every door there is: a client hears no more than a status, the log hears why, and nothing passes.

Each door is asked as the proxy, platform or server in front of it would ask, set up to let requests pass when there is
no verdict: what a client can cause must be denied all the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import grpc
import httpx
import pytest

from ratelimitd.client import AsyncHttpClient, Client, HttpClient, Request, asgi, outcome, wsgi
from ratelimitd.client.aws import Identity, authorizer, guarded

from .conftest import event
from .limiter import Limiter

HONEST = "203.0.113.7"
CLOUDFRONT = "130.176.0.9"
APP = "the application's own answer"
LEAKS = ("Traceback", "Error", "ratelimitd/", ".py", "127.0.0.1", "expected", "NoneType")


@dataclass
class Said:
    """What a client would get: did it pass, with which status, and all the text of it."""

    passed: bool
    status: int
    text: str


Ask = Callable[[Limiter, str | None], Said]  # POST /login, with this X-Forwarded-For when it comes to us
DOORS: dict[str, Ask] = {}


def door(name: str) -> Callable[[Ask], Ask]:
    def add(ask: Ask) -> Ask:
        DOORS[name] = ask
        return ask

    return add


def from_aws(answer: Any) -> Said:
    if answer == APP:
        return Said(True, 200, APP)
    if "statusCode" in answer:
        return Said(False, answer["statusCode"], json.dumps(answer))
    passed = answer.get("isAuthorized")
    if passed is None:
        (statement,) = answer["policyDocument"]["Statement"]
        passed = statement["Effect"] == "Allow"
    return Said(bool(passed), int(answer["context"]["ratelimitd_status"]), json.dumps(answer))


def authorized(name: str) -> Ask:
    """An authorizer behind a proxy of ours, such as CloudFront, whose address is what API Gateway appends itself."""

    def ask(limiter: Limiter, forwarded: str | None) -> Said:
        asked = event(name)
        context = asked["requestContext"]
        context["http" if name == "http_2" else "identity"]["sourceIp"] = CLOUDFRONT
        entries = CLOUDFRONT if forwarded is None else f"{forwarded}, {CLOUDFRONT}"
        for holder, value in (("headers", entries), ("multiValueHeaders", [entries])):
            if holder in asked:
                kept = {k: v for k, v in asked[holder].items() if k.lower() != "x-forwarded-for"}
                asked[holder] = {**kept, "X-Forwarded-For": value}
        with HttpClient(limiter.grpc) as client:
            return from_aws(authorizer(client, on_error="allow", trusted_hops=1)(asked, None))

    return ask


for each in ("rest_request", "http_1", "http_2"):
    DOORS[f"authorizer, {each}"] = authorized(each)


@door("behind a balancer")
def balanced(limiter: Limiter, forwarded: str | None) -> Said:
    asked = event("alb_multi")
    del asked["multiValueHeaders"]["x-forwarded-for"]
    if forwarded is not None:
        asked["multiValueHeaders"]["x-forwarded-for"] = [forwarded]
    with HttpClient(limiter.grpc) as client:
        return from_aws(guarded(client, on_error="allow")(lambda e, c: APP)(asked, None))


@door("ASGI")
def by_asgi(limiter: Limiter, forwarded: str | None, peer: Any = ("10.0.0.1", 80), hops: int = 1) -> Said:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent.append({"status": 200, "body": APP.encode()})

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        async with AsyncHttpClient(limiter.grpc) as client:
            guard = asgi.RateLimitMiddleware(app, client, on_error="allow", trusted_hops=hops)
            headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
            scope = {"type": "http", "method": "POST", "path": "/login", "headers": headers, "client": peer}
            await guard(scope, send, send)  # type: ignore[arg-type]

    asyncio.run(run())
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return Said(text == APP, sent[0]["status"], text + str(sent[0].get("headers")))


@door("WSGI")
def by_wsgi(limiter: Limiter, forwarded: str | None, **changes: str) -> Said:
    started: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [APP.encode()]

    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/login", "REMOTE_ADDR": "10.0.0.1"}
    environ |= {"wsgi.input": BytesIO(b"user=anna")}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    with HttpClient(limiter.grpc) as client:
        guard = wsgi.RateLimitMiddleware(app, client, on_error="allow", trusted_hops=1)
        text = b"".join(guard({**environ, **changes}, lambda *a: started.append(a))).decode()
    return Said(text == APP, int(started[0][0].split()[0]), text + str(started[0][1]))


def asked_by_a_proxy(path: str) -> Ask:
    def ask(limiter: Limiter, forwarded: str | None) -> Said:
        told = {"x-original-method": b"POST", "x-original-uri": b"/login"}
        told |= {"x-forwarded-method": b"POST", "x-forwarded-uri": b"/login"}
        if forwarded is not None:
            told["x-forwarded-for"] = forwarded.encode()
        answer = httpx.post(f"http://{limiter.grpc}{path}", headers=told, verify=False)
        return Said(answer.status_code == 200, answer.status_code, answer.text + str(answer.headers))

    return ask


for each in ("/auth", "/auth/nginx", "/auth/haproxy", "/auth/traefik", "/auth/caddy", "/auth/envoy/login"):
    DOORS[each] = asked_by_a_proxy(each)


@pytest.fixture(autouse=True)
def outspoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "_complaints", outcome._Complaints())


@pytest.fixture(scope="module")
def shared() -> Iterator[Limiter]:
    made = Limiter()
    yield made
    made.close()


EVERY = pytest.mark.parametrize("name", DOORS)


def nothing_leaks(said: Said) -> None:
    assert not [word for word in LEAKS if word in said.text.replace("resource", "")], said.text


@EVERY
def test_a_spoofed_address_buys_nothing(name: str, limiter: Limiter) -> None:
    """Whatever a client claims, the entry that our own proxy wrote is the last, and it alone is counted."""
    claims = ["", "198.51.100.1, ", "198.51.100.2, 10.0.0.1, ", "unknown, ", "127.0.0.1, "]
    said = [DOORS[name](limiter, f"{claim}{HONEST}") for claim in claims]
    assert [one.passed for one in said] == [True, True, False, False, False]
    assert {one.status for one in said[2:]} == {403 if name == "/auth/nginx" else 429}
    other = DOORS[name](limiter, f"{HONEST}, 203.0.113.8")
    assert other.passed


@EVERY
@pytest.mark.parametrize("entry", ["unknown", "", "203.0.113.7, nobody", "1.2.3.4.5", "[::1", "' OR 1=1 --", "é"])
def test_an_address_that_is_none_passes_nowhere(
    name: str, entry: str, shared: Limiter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        said = DOORS[name](shared, entry)
    assert (said.passed, said.status) == (False, 400)
    if name.startswith("/auth"):  # its client is the proxy, which is told what it said wrong
        assert "X-Forwarded-For" in said.text
    else:
        nothing_leaks(said)
        assert [line for line in caplog.messages if "address" in line]


@EVERY
def test_nobody_said_who_it_is(name: str, shared: Limiter) -> None:
    """Authorizers and servers have the peer's own address then; functions and forward authentication have nothing."""
    said = DOORS[name](shared, None)
    if name.startswith("/auth") or name == "behind a balancer":
        assert (said.passed, said.status) == (False, 400)
    else:
        assert said.status in (200, 429)


@pytest.mark.parametrize("peer", [None, ("", 0), ("/run/app.sock", None), ("testclient", 1)])
def test_a_server_that_does_not_tell_its_peer(peer: Any, shared: Limiter) -> None:
    said = by_asgi(shared, None, peer, hops=0)
    assert (said.passed, said.status) == (False, 400)
    nothing_leaks(said)


@pytest.mark.parametrize("change", [{"REMOTE_ADDR": ""}, {"CONTENT_LENGTH": "x"}, {"CONTENT_LENGTH": "-1"}])
def test_an_environ_that_says_nonsense(change: dict[str, str], shared: Limiter) -> None:
    said = by_wsgi(shared, None, **change)
    assert (said.passed, said.status) == (False, 400)
    nothing_leaks(said)


NO_EVENTS: list[Any] = [
    None,
    5,
    "",
    '{"type":"REQUEST"',
    b"{}",
    [],
    {},
    {"type": "REQUEST"},
    {"type": "REQUEST", "version": "3.0"},
    {"type": "TOKEN"},
    {"type": "TOKEN", "methodArn": "arn:aws:s3:::bucket", "authorizationToken": "x"},
    {"type": ["REQUEST"], "version": {}},
    {"Records": [{"eventSource": "aws:sqs"}]},
    {"requestContext": {"elb": None}},
    {"requestContext": {"elb": {}}, "httpMethod": "POST"},
    {"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/", "headers": [["a", "b"]]},
    {"requestContext": {"elb": {}}, "httpMethod": 1, "path": "/", "headers": {"x-forwarded-for": HONEST}},
]


@pytest.mark.parametrize("raw", NO_EVENTS, ids=lambda raw: repr(raw)[:60])
def test_an_event_of_no_known_kind(raw: Any, shared: Limiter, caplog: pytest.LogCaptureFixture) -> None:
    with HttpClient(shared.grpc) as client, caplog.at_level(logging.WARNING, "ratelimitd"):
        handlers = [
            authorizer(client, on_error="allow"),
            authorizer(client, on_error="allow", soft_deny=True),
            guarded(client, on_error="allow")(lambda e, c: APP),
        ]
        for handler in handlers:
            said = from_aws(handler(raw, None))
            assert not said.passed
            assert said.status >= 400
            nothing_leaks(said)
    assert caplog.messages


@pytest.mark.parametrize("name", ["rest_request", "http_1", "http_2", "websocket"])
@pytest.mark.parametrize("identified", [False, True])
@pytest.mark.parametrize("on_error", ["allow", "deny"])
def test_an_event_without_its_identity(name: str, identified: bool, on_error: Any, shared: Limiter) -> None:
    """API Gateway left it out, no client did: `on_error` decides, but lets nobody pass whom nobody has identified."""
    asked = event(name)
    context = asked["requestContext"]
    context.pop("http" if "http" in context else "identity")
    authenticate = (lambda _: Identity("anna")) if identified else None
    with HttpClient(shared.grpc) as client:
        said = from_aws(authorizer(client, on_error=on_error, authenticate=authenticate)(asked, None))
    assert said.passed is (on_error == "allow" and not identified)
    assert '"no_answer"' in said.text
    nothing_leaks(said)


FAULTS: dict[str, Callable[[Any], Any]] = {
    "raises": lambda _: 1 / 0,
    "no identity": lambda _: True,
    "attributes": lambda _: Identity("anna", attributes=5),  # type: ignore[arg-type]
    "values": lambda _: Identity("anna", attributes={"plan": 5}),  # type: ignore[dict-item]
    "context": lambda _: Identity("anna", context={"a": []}),  # type: ignore[dict-item]
    "principal": lambda _: Identity(None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["rest_token", "rest_request", "http_1", "http_2", "websocket"])
def test_a_fault_in_authenticate_denies(name: str, fault: str, shared: Limiter) -> None:
    with HttpClient(shared.grpc) as client:
        handler = authorizer(client, on_error="allow", soft_deny=True, authenticate=FAULTS[fault])
        said = from_aws(handler(event(name), None))
    assert not said.passed
    nothing_leaks(said)


JSON = {"content-type": "application/json"}
NO_JSON = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"{}{}",
    b'{"path":"/a","path":"/b"}',
    b'{"cost":1e9}',
    b'{"sourceAddress":"unknown"}',
    b'{"sourceAddress":"203.0.113.7, 10.0.0.1"}',
    b'{"nobody":1}',
    b"[" * 100_000,
    b'{"requests":[{}],"path":"/"}',
    b'{"requests":{}}',
    b"--x\r\ncontent-disposition: form-data\r\n\r\n",
]


@pytest.mark.parametrize("body", NO_JSON, ids=lambda body: repr(body[:40]))
@pytest.mark.parametrize("path", ["/v1/check", "/v1/check/batch"])
def test_json_that_is_no_question(body: bytes, path: str, shared: Limiter) -> None:
    answer = httpx.post(f"http://{shared.grpc}{path}", content=body, headers=JSON, verify=False)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "decision" not in answer.json()
    assert not [word for word in ("Traceback", ".py", ".cc", "0x") if word in answer.text]


NO_MESSAGES = {
    "Check": [b"\xff", b"\x0a\xff\x01", b"\x12\x07unknown", b"\x3a\x02\x0a\x00", b"\x0a" * 100],
    "CheckBatch": [b"\xff", b"\x0a\xff\x01", b"\x0a\x09\x12\x07unknown"],
    "InspectResponse": [b"\xff", b"\x0a\x09\x12\x07unknown"],
}


@pytest.mark.parametrize(("method", "message"), [(m, text) for m, texts in NO_MESSAGES.items() for text in texts])
def test_messages_that_are_none(method: str, message: bytes, shared: Limiter) -> None:
    with grpc.insecure_channel(shared.grpc) as channel:
        call = channel.unary_unary(f"/ratelimitd.v1.RateLimitService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            call(message, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_claim_in_the_headers_of_a_question_is_not_its_source(limiter: Limiter) -> None:
    """Without a `client` in the policy only who asks is believed, whatever X-Forwarded-For says."""
    for client in (HttpClient(limiter.grpc), Client(limiter.grpc)):
        for i in range(3):
            claim = [("x-forwarded-for", f"198.51.100.{i}"), ("forwarded", f"for=198.51.100.{i}")]
            verdict = client.check(Request("POST", "/login", "203.0.113.9", headers=claim))
            assert verdict.allowed is (i < 2 and isinstance(client, HttpClient))
        client.close()
