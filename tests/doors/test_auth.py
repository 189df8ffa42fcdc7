"""What the questions of proxies mean, asked by hand of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from ruamel.yaml import YAML

from .conftest import EXAMPLES

pytestmark = pytest.mark.e2e

Header = dict[str, str]
Fields = list[tuple[str, str]]


@pytest.fixture(scope="module")
def server(backends: tuple[int, int]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{backends[0]}", timeout=10) as client:
        yield client


def original(somebody: Header, method: str = "POST", target: str = "/login") -> Header:
    return {"x-original-method": method, "x-original-uri": target, **somebody}


def forwarded(somebody: Header, method: str = "POST", target: str = "/login") -> Header:
    return {"x-forwarded-method": method, "x-forwarded-uri": target, **somebody}


@pytest.mark.parametrize("path", ["/auth", "/auth/nginx", "/auth/haproxy"])
def test_the_original_request(server: httpx.Client, somebody: Header, path: str) -> None:
    statuses = [server.get(path, headers=original(somebody)).status_code for _ in range(3)]
    assert statuses == [200, 200, 403 if path == "/auth/nginx" else 429]
    assert server.get(path, headers=original(somebody, "GET")).status_code == 200


@pytest.mark.parametrize("path", ["/auth/traefik", "/auth/caddy"])
def test_the_forwarded_request(server: httpx.Client, somebody: Header, path: str) -> None:
    assert [server.get(path, headers=forwarded(somebody)).status_code for _ in range(3)] == [200, 200, 429]
    shop = {**forwarded(somebody, "GET", "/hosts/a"), "x-forwarded-host": "shop.example", "x-forwarded-proto": "https"}
    assert [server.get(path, headers=shop).status_code for _ in range(2)] == [200, 429]


def test_traefik_as_its_source_shapes_the_question(server: httpx.Client, somebody: Header) -> None:
    """GET, the client's headers without those from hop to hop, X-Forwarded-* by Traefik, and X-Forwarded-Server."""
    asked = {
        "host": "127.0.0.1:8081",
        "user-agent": "curl/8.5.0",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "x-forwarded-for": somebody["x-forwarded-for"],
        "x-forwarded-host": "shop.example",
        "x-forwarded-method": "GET",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
        "x-forwarded-server": "edge-1",
        "x-forwarded-uri": "/hosts/a?id=1",
        "x-real-ip": somebody["x-forwarded-for"],
    }
    assert [server.get("/auth/traefik", headers=asked).status_code for _ in range(2)] == [200, 429]
    asked["x-forwarded-uri"] = "/?id=1%20union%20select"
    assert server.get("/auth/traefik", headers=asked).status_code == 403


def test_envoy_asks_with_the_request_itself(server: httpx.Client, somebody: Header) -> None:
    assert [server.post("/auth/envoy/login?x", headers=somebody).status_code for _ in range(3)] == [200, 200, 429]
    assert server.get("/auth/envoy/login", headers=somebody).status_code == 200
    assert server.get("/auth/envoy", headers=somebody).status_code == 200
    assert server.get("/auth/envoy?id=union+select", headers=somebody).status_code == 403
    assert server.get("/auth/envoylogin", headers=somebody).status_code == 404


def test_options_behind_the_path(server: httpx.Client, somebody: Header) -> None:
    asked = original(somebody)
    other = "/auth;domain=other;deny_status=401"
    assert [server.get(other, headers=asked).status_code for _ in range(2)] == [200, 401]
    denied = server.get(other, headers=asked)
    assert denied.headers["x-ratelimitd-status"] == "429"
    assert denied.json()["status"] == 429
    assert server.get("/auth/envoy;domain=other/login", headers=somebody).status_code == 429
    assert server.get("/auth", headers=asked).status_code == 200


@pytest.mark.parametrize("path", ["/auth/traefik?domain=other", "/auth/nginx?deny_status=401", "/auth?"])
def test_the_query_holds_no_options(server: httpx.Client, somebody: Header, path: str) -> None:
    answer = server.get(path, headers={**original(somebody), **forwarded(somebody)})
    assert (answer.status_code, answer.json()["field"]) == (400, "query")


def test_caddy_leaves_the_clients_query_there(server: httpx.Client, somebody: Header) -> None:
    asked = forwarded(somebody, target="/login?domain=other&deny_status=404")
    path = "/auth/caddy?domain=other&deny_status=404"
    assert [server.get(path, headers=asked).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("option", ["deny_status=200", "deny_status=503", "deny_status=x", "deny=403", "domain", "x=y"])
def test_options_that_mean_nothing_are_refused(server: httpx.Client, somebody: Header, option: str) -> None:
    assert server.get(f"/auth;{option}", headers=original(somebody)).status_code == 400


@pytest.mark.parametrize(
    ("path", "missing", "field"),
    [
        ("/auth", "x-original-method", "X-Original-Method"),
        ("/auth/nginx", "x-original-uri", "X-Original-URI"),
        ("/auth/traefik", "x-forwarded-method", "X-Forwarded-Method"),
        ("/auth/caddy", "x-forwarded-uri", "X-Forwarded-Uri"),
        ("/auth", "x-forwarded-for", "X-Forwarded-For"),
        ("/auth/envoy/a", "x-forwarded-for", "X-Forwarded-For"),
    ],
)
def test_a_proxy_that_does_not_tell_gets_no_verdict(
    server: httpx.Client, somebody: Header, path: str, missing: str, field: str
) -> None:
    asked = {**original(somebody), **forwarded(somebody)}
    del asked[missing]
    answer = server.get(path, headers=asked)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field


@pytest.mark.parametrize("value", ["", "unknown", "203.0.113.7,", "203.0.113.7, x", "203.0.113.7 10.0.0.1"])
def test_a_client_address_that_is_none(server: httpx.Client, value: str) -> None:
    answer = server.get("/auth", headers=original({"x-forwarded-for": value}))
    assert (answer.status_code, answer.json()["field"]) == (400, "X-Forwarded-For")


def test_the_last_word_on_the_client_is_the_proxys(server: httpx.Client, somebody: Header) -> None:
    """In the last line's last entry; what a client sent before it, in the same line or one of its own, is a claim."""
    for i in range(3):
        claims = [
            ("x-forwarded-for", f"192.0.2.{i}, 192.0.2.1{i}"),
            ("x-forwarded-for", f"192.0.2.2{i}, " + somebody["x-forwarded-for"]),
        ]
        asked: Fields = [("x-original-method", "POST"), ("x-original-uri", "/login"), *claims]
        assert server.get("/auth", headers=asked).status_code == (429 if i == 2 else 200)


@pytest.mark.parametrize("name", ["x-original-method", "x-original-uri"])
def test_what_is_told_twice_is_refused(server: httpx.Client, somebody: Header, name: str) -> None:
    asked: Fields = [*original(somebody).items(), (name, "/innocent")]
    assert server.get("/auth", headers=asked).status_code == 400


def test_what_tells_is_not_scanned_again(server: httpx.Client, somebody: Header) -> None:
    """The target that a field carries is looked at as a target: no rule about headers sees it."""
    answer = server.get("/auth", headers=original(somebody, "GET", "/union%20select/a"))
    assert answer.status_code == 200
    assert server.get("/auth", headers={**original(somebody, "GET", "/"), "x-a": "union select"}).status_code == 403


def test_any_method_asks(server: httpx.Client, somebody: Header) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"):
        assert server.request(method, "/auth", headers=original(somebody, "GET", "/a")).status_code == 200
    assert server.head("/auth", headers=original(somebody, "GET", "/?id=union+select")).status_code == 403


def test_the_example_of_traefik_asks_where_it_is_answered(server: httpx.Client, somebody: Header) -> None:
    """Where there is no Traefik to run it, too; every router is guarded, and nobody trusts a client's word."""
    config = YAML(typ="safe").load(EXAMPLES / "traefik" / "dynamic.yml")["http"]
    [(name, middleware)] = config["middlewares"].items()
    assert all(name in router["middlewares"] for router in config["routers"].values())
    assert middleware["forwardAuth"]["trustForwardHeader"] is False
    url = httpx.URL(middleware["forwardAuth"]["address"])
    assert (url.host, url.port) == ("127.0.0.1", 8081)
    assert server.get(url.path, headers=forwarded(somebody, "GET", "/")).status_code == 200
