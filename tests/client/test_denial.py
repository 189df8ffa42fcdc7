"""A denied client sees the same through every door: what the middleware says is what the server says itself."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection

import pytest

from ratelimitd.client import Client, Request, Verdict, denial

from .limiter import Limiter


def told_by_the_server(limiter: Limiter, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Through forward-auth, whose answers go to clients verbatim."""
    host, _, port = limiter.grpc.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=5)
    asked = {"X-Forwarded-Method": method, "X-Forwarded-Uri": path, "X-Forwarded-For": "203.0.113.7"}
    connection.request("GET", "/auth/traefik", headers=asked)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {n.lower(): v for n, v in response.getheaders()}, body


REFERENCE = re.compile(rb'(?<="reference":")[0-9a-f]{16}')


@pytest.mark.parametrize(("method", "path"), [("POST", "/login"), ("GET", "/?q=evil")])
def test_the_middleware_answers_as_the_server_does(method: str, path: str, limiter: Limiter) -> None:
    with Client(limiter.grpc) as client:
        for _ in range(3):
            verdict = client.check(Request(method, path, "203.0.113.7"))
    assert not verdict.allowed
    status, fields, body = told_by_the_server(limiter, method, path)
    ours = denial.body(verdict)
    assert denial.status(verdict) == status
    assert REFERENCE.sub(b"", ours) == REFERENCE.sub(b"", body)
    named = dict(denial.headers(verdict, ours))
    for name in ("content-type", "ratelimit-policy", "content-length"):
        assert named.get(name) == fields.get(name)
    assert set(named) == set(fields) - {"date", "connection", "server"}


@pytest.mark.parametrize("status", [0, 200, 302, 600, 451, 418, 599])
def test_a_denial_never_looks_like_a_success(status: int) -> None:
    verdict = Verdict(allowed=False, status=status, reason="deny_list")
    said = denial.status(verdict)
    assert 400 <= said <= 599
    assert json.loads(denial.body(verdict))["title"] == denial.phrase(said)
