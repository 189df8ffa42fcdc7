"""Responses through the engine: the request chooses the rules, and neither limits nor checks notice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from ratelimitd._engine import Engine
from ratelimitd.client import Client, Request, Response
from ratelimitd.policy.plan import Domain, ListAction, Plan, Profile, Scan, ScanMode, ScanRoute
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from .plans import START, address_list, limit, path, plan, request

RULES = """
SecRule ARGS "@contains attack" "id:1,phase:2,deny"
SecRule RESPONSE_BODY "@rx (?i)fatal error" "id:953100,phase:4,deny,status:500"
SecRule RESPONSE_STATUS "@eq 418" "id:3,phase:3,deny"
"""
HTML = [("content-type", "text/html")]
ERROR = {"status": 200, "headers": HTML, "body": b"PHP Fatal Error: x"}


def profile(more: str = "", **changes: Any) -> Profile:
    return Profile(b"p", compile_rules(parse((RULES + more).encode())), **changes)


def scanning(mode: ScanMode, *profiles: Profile, **changes: Any) -> Engine:
    out = Engine(max_keys=1000)
    limits = (limit("per-ip", 1),) if "limits" not in changes else ()
    out.swap(plan(*limits, scan=Scan(mode=mode, profiles=profiles or (profile(),), **changes)))
    return out


def inspected(target: Engine, response: dict[str, Any], **asked: Any) -> dict[str, Any]:
    return target.inspect_response(request(**asked), response, now_ns=START)


def ids(event: Any) -> list[str]:
    return [match["id"] for match in event["matches"]]


def test_a_leak_is_denied() -> None:
    target = scanning(ScanMode.BLOCK)
    answer = inspected(target, ERROR)
    assert (answer["decision"], answer["status"], answer["reason"]) == ("deny", 500, "scan")
    assert (answer["decided_by"], answer["limits"], answer["domain"]) == ("953100", [], "shop")
    assert answer["matches"] == [{"id": "953100", "target": "RESPONSE_BODY", "score": 0}]
    assert (answer["bytes_inspected"], answer["inspected_all"]) == (18, True)
    (event,) = target.events()
    assert (event["reference"], ids(event), event["decider"]) == (answer["reference"], ["953100"], "rule")
    assert event["phase"] == "response"
    assert dict(answer["headers"])["x-ratelimitd-reference"] == answer["reference"]


def test_the_rest_passes_with_its_own_status() -> None:
    target = scanning(ScanMode.BLOCK)
    answer = inspected(target, {"status": 404, "headers": HTML, "body": b"not found"}, path="/?a=attack")
    assert (answer["decision"], answer["status"], answer["matches"], answer["headers"]) == ("allow", 404, [], [])
    assert (answer["reference"], target.events()) == ("", [])


def test_detect_only_says_so() -> None:
    target = scanning(ScanMode.DETECT)
    answer = inspected(target, ERROR)
    assert (answer["decision"], answer["status"], answer["shadow_denied"]) == ("allow", 200, True)
    assert [match["id"] for match in answer["matches"]] == ["953100"]
    (event,) = target.events()
    assert (event["decision"], event["shadow"], ids(event)) == ("allow", True, ["953100"])


def test_off_looks_at_nothing() -> None:
    answer = inspected(scanning(ScanMode.OFF), ERROR)
    assert (answer["decision"], answer["bytes_inspected"], answer["inspected_all"]) == ("allow", 0, False)


def test_routes_choose_by_the_request() -> None:
    routes = (ScanRoute(path("/quiet"), ScanMode.OFF), ScanRoute(path("/odd"), ScanMode.BLOCK, 1))
    odd = Profile(b"odd", compile_rules(parse(b'SecRule RESPONSE_STATUS "@eq 200" "id:9,phase:3,deny"')), status=451)
    target = scanning(ScanMode.BLOCK, profile(), odd, routes=routes)
    assert inspected(target, ERROR, path="/quiet")["decision"] == "allow"
    assert inspected(target, ERROR, path="/odd")["decided_by"] == "9"
    assert inspected(target, ERROR, path="/else")["decided_by"] == "953100"


def test_neither_limits_nor_lists_nor_checks_notice() -> None:
    out = Engine(max_keys=1000)
    denied = address_list("banned", ListAction.DENY, "203.0.113.0/24")
    out.swap(plan(limit("per-ip", 1), lists=(denied,), scan=Scan(mode=ScanMode.BLOCK, profiles=(profile(),))))
    for _ in range(3):
        assert inspected(out, {"status": 200}, source_address="203.0.113.7")["decision"] == "allow"
    inspected(out, ERROR)
    stats = out.stats()
    assert stats["responses"] == {"allowed": 3, "denied": 1, "shadow_denied": 0, "bytes": 18}
    assert (stats["decisions"], stats["scan"]["scans"], stats["table"]["keys"]) == ([], 0, 0)


@pytest.mark.parametrize(
    ("response", "rules", "changes", "denied"),
    [
        ({"partial_body": True}, "", {"deny_partial_body": True}, True),
        ({"partial_body": True}, "", {}, False),
        ({"body": b"x" * 11}, "", {"deny_partial_body": True, "body_limit": 10}, False),
        ({"body": b"x" * 11}, "SecResponseBodyLimitAction Reject", {"body_limit": 10}, True),
        ({"body": b"x" * 10}, "SecResponseBodyLimitAction Reject", {"body_limit": 10}, False),
        ({"body": b"x" * 9}, "SecResponseBodyLimitAction Reject\nSecResponseBodyLimit 8", {"body_limit": 10}, True),
        ({"partial_body": True}, "SecResponseBodyLimitAction Reject", {}, True),
    ],
)
def test_what_is_too_long(response: dict[str, Any], rules: str, changes: dict[str, Any], denied: bool) -> None:
    answer = inspected(
        scanning(ScanMode.BLOCK, profile(rules, **changes)), {"status": 200, "headers": HTML, **response}
    )
    expected = ("deny", 502, "partial_body") if denied else ("allow", 200, "")
    assert (answer["decision"], answer["status"], answer["reason"] or "") == expected


def test_a_domain_that_is_not_there() -> None:
    for deny, expected in ((False, ("allow", 200)), (True, ("deny", 403))):
        out = Engine(max_keys=1000)
        out.swap(Plan((Domain(b"shop"),), unknown_domain_deny=deny))
        answer = inspected(out, {"status": 200}, domain="other")
        assert (answer["decision"], answer["status"], answer["reason"]) == (*expected, "no_policy")
        assert out.stats()["decisions"] == []


# ---- by gRPC


@pytest.fixture
def served() -> Iterator[tuple[Engine, str]]:
    engine = scanning(ScanMode.BLOCK)
    address = engine.listen("127.0.0.1:0")
    engine.start()
    yield engine, address
    engine.stop()


def test_by_the_client(served: tuple[Engine, str]) -> None:
    engine, address = served
    asked = Request(path="/a?b=1", source_address="203.0.113.7", domain="shop")
    with Client(address, timeout=5) as client:
        verdict = client.inspect_response(asked, Response(200, HTML, b"a fatal error"))
        assert (verdict.allowed, verdict.status, verdict.reason, verdict.decided_by) == (False, 500, "scan", "953100")
        assert (verdict.bytes_inspected, verdict.inspected_all, len(verdict.reference)) == (13, True, 16)
        assert client.inspect_response(asked, Response(404, HTML, b"none")).status == 404
        assert client.check(asked).limits[0].remaining == 0  # the first that counts
    calls = engine.stats()["server"]["calls"]
    assert (calls["inspect_response"], calls["check"]) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "details"),
    [
        (pb.InspectResponseRequest(), "status: must be an HTTP status, 100 to 599"),
        (pb.InspectResponseRequest(status=200, headers=[pb.Header(name="a")] * 257), "headers: more than 256"),
        (
            pb.InspectResponseRequest(status=200, request=pb.CheckRequest(source_address="here")),
            "request.source_address: must be an IP address, or empty when there is none",
        ),
    ],
)
def test_refusals_name_the_field(served: tuple[Engine, str], asked: pb.InspectResponseRequest, details: str) -> None:
    with grpc.insecure_channel(served[1]) as channel, pytest.raises(grpc.RpcError) as failed:
        stubs.RateLimitServiceStub(channel).InspectResponse(asked, timeout=5)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, details)
