"""What clients of each proxy see: the same, as far as the proxy can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Proxy

pytestmark = pytest.mark.e2e

Header = dict[str, str]
TELLS_ON_ALLOW = {"nginx", "haproxy", "envoy"}  # the others can tell the app alone
TELLS_ALL = {"haproxy", "envoy", "traefik", "caddy"}  # ratelimitd's own answer reaches the client
FAILS_OPEN = {"nginx", "haproxy", "envoy"}


def test_an_allowed_request_reaches_the_app_as_it_is(proxy: Proxy, somebody: Header) -> None:
    answer = proxy.client.get("/a%2Fb?x=1&y=%20", headers=somebody)
    assert answer.status_code == 200
    assert answer.json() == {"method": "GET", "path": "/a%2Fb?x=1&y=%20", "body_bytes": 0}
    if proxy.name in TELLS_ON_ALLOW:
        assert answer.headers["ratelimit"].startswith('"all";r=999;t=')
        assert '"all";q=1000;w=2592000' in answer.headers["ratelimit-policy"]


def test_a_body_reaches_the_app(proxy: Proxy, somebody: Header) -> None:
    answer = proxy.client.post("/upload", content=b"x" * 70_000, headers=somebody)
    assert answer.json() == {"method": "POST", "path": "/upload", "body_bytes": 70_000}


def test_the_request_over_the_limit_gets_429(proxy: Proxy, somebody: Header) -> None:
    """By the original method and path, with what a client needs to come back in time."""
    assert [proxy.client.post("/login?x", headers=somebody).status_code for _ in range(3)] == [200, 200, 429]
    answer = proxy.client.post("/login", headers=somebody)
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert 0 < int(answer.headers["retry-after"]) <= 2 * 2_592_000
    assert answer.headers["ratelimit"].startswith('"login";r=0;t=')
    assert answer.json()["status"] == 429
    if proxy.name in TELLS_ALL:
        assert answer.json()["violated-policies"] == ["login"]
    assert proxy.client.get("/login", headers=somebody).status_code == 200


def test_an_attack_gets_403_and_a_reference(proxy: Proxy, somebody: Header) -> None:
    answer = proxy.client.get("/?id=1+UNION++SELECT+password", headers=somebody)
    assert answer.status_code == 403
    assert answer.json()["status"] == 403
    assert len(answer.headers["x-ratelimitd-reference"]) == 16
    assert "retry-after" not in answer.headers
    assert "no-union" not in answer.text


def test_limits_by_host(proxy: Proxy, somebody: Header) -> None:
    asked = {**somebody, "host": "shop.example"}
    assert [proxy.client.get("/hosts/a", headers=asked).status_code for _ in range(2)] == [200, 429]
    assert proxy.client.get("/hosts/a", headers={**somebody, "host": "other.example"}).status_code == 200


@pytest.mark.parametrize("count", [1, 2])
def test_a_client_cannot_speak_for_the_proxy(proxy: Proxy, somebody: Header, count: int) -> None:
    """What the proxy says of the request replaces what the client wrote under the same names."""
    names = ("X-Original-Method", "X-Original-URI", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host")
    lies = [(name, "GET" if "Method" in name else "/innocent") for name in names] * count
    lies += [("x-ratelimitd-domain", "none"), *somebody.items()]
    statuses = [proxy.client.post("/login", headers=lies).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_methods_and_answers_without_a_body(proxy: Proxy, somebody: Header) -> None:
    for method in ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert proxy.client.request(method, "/any", headers=somebody).status_code in (200, 501)
    proxy.client.post("/login", headers=somebody)
    proxy.client.post("/login", headers=somebody)
    attack = proxy.client.head("/?id=1+union+select", headers=somebody)
    assert attack.status_code == 403
    assert attack.content == b""


def test_when_ratelimitd_is_away(proxy: Proxy, somebody: Header) -> None:
    """The example says what happens then, and so it does."""
    answer = proxy.lonely.get("/a", headers=somebody)
    assert answer.status_code == (200 if proxy.name in FAILS_OPEN else answer.status_code)
    assert answer.status_code == 200 or answer.status_code >= 500
