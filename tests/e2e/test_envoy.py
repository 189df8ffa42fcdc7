"""What a client behind a real Envoy sees of our verdicts."""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from typing import TYPE_CHECKING

import pytest

from .envoy_bootstrap import BODY_LIMIT, JWT_SECRET

if TYPE_CHECKING:
    from .conftest import Envoy

pytestmark = pytest.mark.e2e

ATTACK = "1 UNION  SELECT password"


def headers(**more: str) -> dict[str, str]:
    """A user of this request's own, and an id to find it by in the access log."""
    return {"x-user": uuid.uuid4().hex, "x-test-id": uuid.uuid4().hex, **more}


@pytest.fixture(params=["plain", "raw_headers"])
def listener(request: pytest.FixtureRequest) -> str:
    """Headers as Envoy sends them by default, and as header_map."""
    return str(request.param)


def test_an_allowed_request_reaches_the_upstream_and_its_client_sees_the_limits(envoy: Envoy, listener: str) -> None:
    sent = headers()
    answer = envoy.client(listener).get("/gold/a%2Fb?x=1", headers=sent)
    assert answer.status_code == 200
    assert answer.json() == {"method": "GET", "path": "/gold/a%2Fb?x=1", "body_bytes": 0}
    assert answer.headers["ratelimit"].startswith('"gold";r=2;t=')
    assert '"gold";q=3;w=2592000' in answer.headers["ratelimit-policy"]
    told = envoy.logged(sent["x-test-id"])["authz"]
    assert (told["decision"], told["domain"], told["limit"]) == ("allow", "edge", "gold")


def test_the_request_over_the_limit_gets_429_with_all_that_a_client_needs(envoy: Envoy, listener: str) -> None:
    sent = headers()
    client = envoy.client(listener)
    assert [client.post("/login", headers=sent).status_code for _ in range(2)] == [200, 200]
    sent["x-test-id"] = uuid.uuid4().hex
    answer = client.post("/login", headers=sent)
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert 0 < int(answer.headers["retry-after"]) <= 2 * 2_592_000
    assert answer.headers["ratelimit"].startswith('"login";r=0;t=')
    assert answer.json()["status"] == 429
    assert answer.json()["violated-policies"] == ["login"]
    logged = envoy.logged(sent["x-test-id"])
    assert logged["status"] == 429
    told = logged["authz"]
    assert (told["decision"], told["reason"], told["limit"]) == ("deny", "over_limit", "login")


def test_clients_are_told_apart_by_the_address_before_our_proxy(envoy: Envoy) -> None:
    user = {"x-user": uuid.uuid4().hex}
    client = envoy.client("plain")

    def statuses(ip: str) -> list[int]:
        return [client.post("/login", headers={**user, "x-forwarded-for": ip}).status_code for _ in range(3)]

    assert statuses("203.0.113.7") == [200, 200, 429]
    assert statuses("203.0.113.8") == [200, 200, 429]
    # What a client writes further left is not believed.
    assert client.post("/login", headers={**user, "x-forwarded-for": "192.0.2.1, 203.0.113.7"}).status_code == 429


def test_a_routes_context_extension_selects_a_limit(envoy: Envoy) -> None:
    sent = headers()
    client = envoy.client("plain")
    assert [client.get("/gold/1", headers=sent).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert client.get("/silver/1", headers=sent).status_code == 200


def token(**claims: object) -> dict[str, str]:
    """The header of a token with these claims (RFC 7515, HS256)."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(JWT_SECRET, signed, "sha256")).rstrip(b"=")
    return {"authorization": f"Bearer {(signed + b'.' + signature).decode()}"}


def test_limits_count_by_the_claims_of_a_token(envoy: Envoy) -> None:
    """The subject of a verified token is the key, its plan and roles select the limit; nobody else pays for it."""
    ada, bob, eve, admin = (uuid.uuid4().hex for _ in range(4))

    def statuses(count: int, **claims: object) -> list[int]:
        return [envoy.client("jwt").get("/", headers=headers(**token(**claims))).status_code for _ in range(count)]

    assert statuses(3, sub=ada, plan="trial") == [200, 200, 429]
    assert statuses(1, sub=bob, plan="trial") == [200]
    assert statuses(4, sub=eve, plan="paid", roles=["administrator", "reader"]) == [200] * 4
    assert statuses(2, sub=admin, roles=["reader", "admin"], deep={"a": [{"b": None}]}, exp=2_000_000_000) == [200, 429]
    forged = token(sub=bob, plan="trial")["authorization"][:-4] + "AAAA"
    assert envoy.client("jwt").get("/", headers=headers(authorization=forged)).status_code == 401


def test_an_attack_in_an_argument_gets_403_with_a_reference_only(envoy: Envoy, listener: str) -> None:
    sent = headers()
    answer = envoy.client(listener).get("/search", params={"q": ATTACK}, headers=sent)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    reference = answer.json()["reference"]
    assert answer.headers["x-ratelimitd-reference"] == reference
    assert "no-union" not in answer.text
    told = envoy.logged(sent["x-test-id"])["authz"]
    assert (told["reason"], told["reference"]) == ("scan", reference)
    assert "no-union" in str(told["rules"])


def test_an_attack_in_a_body_or_a_header_is_found(envoy: Envoy, listener: str) -> None:
    client = envoy.client(listener)
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/form", content="a=1&b=1+union+select", headers=headers(**form)).status_code == 403
    assert client.post("/form", content=b"\xff\xfe union select", headers=headers()).status_code == 403
    assert client.get("/", headers=headers(**{"x-note": ATTACK})).status_code == 403
    assert client.post("/form", content="a=1&b=2", headers=headers(**form)).status_code == 200


def test_a_header_that_is_not_utf8_is_read_as_it_is(envoy: Envoy) -> None:
    sent = [(b"x-user", b"one"), (b"x-note", b"\xff union select")]
    assert envoy.client("raw_headers").get("/", headers=sent).status_code == 403


def test_a_cut_body_is_scanned_as_far_as_it_goes(envoy: Envoy) -> None:
    client = envoy.client("plain")
    early = ATTACK + "." * 2 * BODY_LIMIT
    late = "." * 2 * BODY_LIMIT + ATTACK
    assert client.post("/upload", content=early, headers=headers()).status_code == 403
    answer = client.post("/upload", content=late, headers=headers())
    assert (answer.status_code, answer.json()["body_bytes"]) == (200, len(late))


def test_a_policy_may_deny_a_cut_body(envoy: Envoy) -> None:
    client = envoy.client("plain")
    assert client.post("/strict/upload", content="." * (BODY_LIMIT // 2), headers=headers()).status_code == 200
    sent = headers()
    assert client.post("/strict/upload", content="." * 2 * BODY_LIMIT, headers=sent).status_code == 413
    told = envoy.logged(sent["x-test-id"])["authz"]
    assert (told["domain"], told["reason"]) == ("strict", "partial_body")


def test_a_route_may_go_without(envoy: Envoy) -> None:
    answer = envoy.client("plain").get("/unguarded/", params={"q": ATTACK}, headers=headers())
    assert answer.status_code == 200
    assert "ratelimit" not in answer.headers


def test_without_us_envoy_does_what_its_failure_mode_says(envoy: Envoy) -> None:
    """Not our code, but what our documentation promises of a node that is gone or hangs."""
    assert envoy.client("closed").get("/", headers=headers()).status_code == 403
    assert envoy.client("closed_503").get("/", headers=headers()).status_code == 503
    assert envoy.client("open").get("/", headers=headers()).status_code == 200
