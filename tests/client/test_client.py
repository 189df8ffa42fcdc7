"""The client against a real gRPC server that speaks our contract: every field goes out and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from ratelimitd.client import AsyncClient, CheckError, Client, Request, Response, RuleMatch
from ratelimitd.client.message import decode, encode
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as services


class Service(services.RateLimitServiceServicer):
    """Denies /deny, refuses /bad, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[pb.CheckRequest] = []
        self.inspected: list[pb.InspectResponseRequest] = []

    def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:  # noqa: N802
        self.asked.append(request)
        if request.path == "/bad":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "path: too odd")
        if request.path == "/slow":
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "slow")
        denied = request.path == "/deny"
        return pb.CheckResponse(
            decision=pb.DECISION_DENY if denied else pb.DECISION_ALLOW,
            status=429 if denied else 200,
            reason=pb.REASON_OVER_LIMIT if denied else pb.REASON_UNSPECIFIED,
            decided_by="login" if denied else "",
            domain="shop",
            limits=[
                pb.LimitState(name="login", limit=5, remaining=0, window_ms=30_000, reset_after_ms=12_000, over=denied)
            ],
            matches=[pb.RuleMatch(id="942100", target="args:id", score=5)],
            headers=[pb.Header(name="Retry-After", value=b"12")],
            reference="00ff",
        )

    def InspectResponse(self, request: pb.InspectResponseRequest, context: Any) -> pb.InspectResponseResponse:  # noqa: N802
        self.inspected.append(request)
        if request.status == 418:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "status: too odd")
        denied = b"secret" in request.body
        return pb.InspectResponseResponse(
            decision=pb.DECISION_DENY if denied else pb.DECISION_ALLOW,
            status=502 if denied else request.status,
            reason=pb.REASON_SCAN if denied else pb.REASON_UNSPECIFIED,
            matches=[pb.RuleMatch(id="951100", target="RESPONSE_BODY", score=4)] if denied else [],
            bytes_inspected=len(request.body),
        )

    def CheckBatch(self, request: pb.CheckBatchRequest, context: Any) -> pb.CheckBatchResponse:  # noqa: N802
        return pb.CheckBatchResponse(responses=[self.Check(r, context) for r in request.requests])


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, service: Service, tmp_path: Path) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    services.add_RateLimitServiceServicer_to_server(service, server)
    wanted = "127.0.0.1:0" if request.param == "tcp" else f"unix:{tmp_path}/s.sock"
    port = server.add_insecure_port(wanted)
    server.start()
    yield f"127.0.0.1:{port}" if request.param == "tcp" else wanted
    server.stop(None).wait()


FULL = Request(
    method="POST",
    path="/deny",
    source_address="203.0.113.7",
    host="shop.example",
    scheme="https",
    headers=[("x-a", "1"), ("x-a", b"\xff"), ("cookie", "s=é")],
    body=b"",
    partial_body=True,
    attributes={"plan": "gold"},
    cost=0,
    domain="shop",
    dry_run=True,
    explain=True,
)


def test_a_denial_is_an_answer(address: str, service: Service) -> None:
    with Client(address) as client:
        verdict = client.check(FULL)
    assert (verdict.allowed, verdict.decision, verdict.status, verdict.reason) == (False, "deny", 429, "over_limit")
    assert (verdict.decided_by, verdict.domain, verdict.reference, verdict.retry_after) == ("login", "shop", "00ff", 12)
    assert (verdict.limits[0].name, verdict.limits[0].remaining, verdict.limits[0].over) == ("login", 0, True)
    assert (verdict.matches[0].id, verdict.matches[0].target) == ("942100", "args:id")
    assert service.asked == [encode(FULL)]


def test_every_field_goes_out(address: str, service: Service) -> None:
    with Client(address) as client:
        client.check(FULL)
    (asked,) = service.asked
    assert [(h.name, h.value) for h in asked.headers] == [("x-a", b"1"), ("x-a", b"\xff"), ("cookie", "s=é".encode())]
    assert (asked.HasField("body"), asked.HasField("cost"), asked.cost) == (True, True, 0)
    assert set(pb.CheckRequest.DESCRIPTOR.fields_by_name) == {field.name for field, _ in asked.ListFields()}


def test_unset_is_not_zero() -> None:
    message = encode(Request())
    assert not message.HasField("body")
    assert not message.HasField("cost")


def test_batches_keep_their_order(address: str) -> None:
    with Client(address) as client:
        verdicts = client.check_many([Request(path="/a"), Request(path="/deny"), Request(path="/b")])
    assert [v.allowed for v in verdicts] == [True, False, True]


def test_refusals_name_the_code(address: str) -> None:
    with Client(address) as client:
        with pytest.raises(CheckError) as caught:
            client.check(Request(path="/bad"))
        assert (caught.value.code, caught.value.details) == ("INVALID_ARGUMENT", "path: too odd")
        assert client.check(Request()).allowed  # the channel is fine


def test_nobody_there() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(CheckError) as caught:
        client.check(Request())
    assert caught.value.code == "UNAVAILABLE"


LEAK = Response(status=200, headers=[("x-a", "1"), ("x-a", b"\xff")], body=b"a secret", partial_body=True)


def test_a_response_is_inspected(address: str, service: Service) -> None:
    with Client(address) as client:
        verdict = client.inspect_response(FULL, LEAK)
        passed = client.inspect_response(Request(), Response(status=404))
        with pytest.raises(CheckError, match="too odd"):
            client.inspect_response(Request(), Response(status=418))
    assert (verdict.allowed, verdict.status, verdict.reason, verdict.limits) == (False, 502, "scan", ())
    assert (verdict.matches, verdict.bytes_inspected) == ((RuleMatch("951100", "RESPONSE_BODY", 4),), 8)
    assert (passed.allowed, passed.status) == (True, 404)
    asked = service.inspected[0]
    assert asked.request == encode(FULL)
    assert [(h.name, h.value) for h in asked.headers] == [("x-a", b"1"), ("x-a", b"\xff")]
    assert (asked.status, asked.body, asked.partial_body) == (200, b"a secret", True)


def test_asyncio(address: str) -> None:
    async def scenario() -> None:
        async with AsyncClient(address) as client:
            assert not (await client.check(FULL)).allowed
            assert not (await client.inspect_response(FULL, LEAK)).allowed
            assert [v.allowed for v in await client.check_many([Request(), FULL])] == [True, False]
            with pytest.raises(CheckError):
                await client.check(Request(path="/bad"))

    asyncio.run(scenario())


def test_an_answer_of_a_later_version_is_not_an_allow() -> None:
    verdict = decode(pb.CheckResponse(decision=7, reason=99))  # type: ignore[arg-type]
    assert not verdict.allowed
    assert verdict.reason == "99"


def test_every_reason_of_the_contract_has_a_name() -> None:
    for number in pb.Reason.values():
        reason = decode(pb.CheckResponse(reason=number)).reason
        assert reason == "" if number == 0 else reason.replace("_", "").isalpha()
