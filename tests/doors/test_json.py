"""The JSON door of a real server, asked by our own client and compared with the door for gRPC."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import json_format

from ratelimitd.client.http import HttpClient
from ratelimitd.client.request import Request
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs

pytestmark = pytest.mark.e2e


def test_both_doors_say_the_same(backends: tuple[int, int]) -> None:
    with HttpClient(f"127.0.0.1:{backends[0]}") as client, grpc.insecure_channel(f"127.0.0.1:{backends[0]}") as channel:
        stub = stubs.RateLimitServiceStub(channel)
        for path in ("/a", "/?id=1+union+select", "/login"):
            request = Request("POST", path, source_address="192.0.2.1", headers=[("x-forwarded-for", "192.0.2.9")])
            looked = pb.CheckRequest(method="POST", path=path, source_address="192.0.2.1", cost=0)
            looked.headers.add(name="x-forwarded-for", value=b"192.0.2.9")
            verdict = client.check(request)
            again = stub.Check(looked)
            assert verdict.allowed == (again.decision == pb.DECISION_ALLOW)
            assert (verdict.status, verdict.decided_by, verdict.domain) == (
                again.status,
                again.decided_by,
                again.domain,
            )
            assert [(s.name, s.limit, s.remaining) for s in verdict.limits] == [
                (s.name, s.limit, s.remaining) for s in again.limits
            ]
            assert verdict.score == again.score
            assert dict(verdict.headers).keys() == {h.name for h in again.headers}
            assert json_format.MessageToDict(again)["status"] == verdict.status
