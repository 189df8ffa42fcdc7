"""POST /json: the rate limit service for who has no gRPC, as envoyproxy/ratelimit has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from tests.model.descriptors import Asked, Status
from tests.ratelimit.conftest import Caller, Serving, one
from tests.ratelimit.messages import Response, metadata, request, statuses

QUOTA = """\
domain: quota
descriptors:
  - key: user
    quota_mode: true
    metadata: {route: "a\\"ü", weights: [1, 2.5, true, null], deep: {empty: {}, list: []}}
    rate_limit: {unit: week, requests_per_unit: 2}
  - key: other
    quota_mode: true
    metadata: {route: b, more: x}
    rate_limit: {unit: hour, requests_per_unit: 2}
"""


@pytest.fixture
def asked(serving: Serving, configuration: Path) -> tuple[httpx.Client, Caller]:
    (configuration / "quota.yaml").write_text(QUOTA)
    server, caller = serving("--ratelimit-config", str(configuration), LIMIT_RESPONSE_HEADERS_ENABLED="true")
    return httpx.Client(base_url=f"http://{server.addresses[0]}"), caller


def post(client: httpx.Client, domain: str, *descriptors: Asked, hits: int = 0) -> tuple[int, Any]:
    """(the status of HTTP, the message), as any client with protobuf writes the one and reads the other."""
    body = json_format.MessageToJson(request(domain, *descriptors, hits=hits))
    answer = client.post("/json", content=body, headers={"content-type": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, json_format.Parse(answer.text, Response())


def test_it_says_what_the_call_says(asked: tuple[httpx.Client, Caller]) -> None:
    client, caller = asked
    for status, over in ((200, False), (200, False), (429, True)):
        code, answer = post(client, "edge", one("user"), one("free"), one("nobody"), one("watched"))
        assert (code, answer.overall_code == 2) == (status, over)
        peek = caller.ask("edge", one("user", hits=0), one("free"), one("nobody"), one("watched", hits=0))
        user, free, nobody, watched = statuses(answer)
        assert (user.over, user.limit) == (over, (2, "day", "per-user"))
        assert user.remaining == statuses(peek)[0].remaining
        assert 0 < user.reset <= 86_400
        assert (free, nobody, watched.over) == (Status(remaining=2**32 - 1), Status(), False)
        assert {h.key for h in answer.response_headers_to_add} >= {"ratelimit-limit", "ratelimit-remaining"}
    assert post(client, "unknown", one("user"))[1].overall_code == 1


def test_metadata_of_quotas_is_merged(asked: tuple[httpx.Client, Caller]) -> None:
    client, caller = asked
    for kept in ([one("user"), one("other")], [one("other", "y"), one("user", "y")]):
        looked = [Asked(descriptor.entries, hits=0) for descriptor in kept]
        code, answer = post(client, "quota", *kept)
        assert code == 200
        assert metadata(answer) == metadata(caller.ask("quota", *looked))
        assert metadata(answer)["weights"] == [1.0, 2.5, True, None]
    assert post(client, "quota", one("user"), hits=9)[0] == 429  # there is no other
    code, answer = post(client, "quota", one("user"), one("other", "z"))
    assert (code, [status.over for status in statuses(answer)]) == (200, [True, False])
    assert metadata(answer) == {"route": "b", "more": "x"}


def test_scripts_need_no_content_type_and_pages_do(asked: tuple[httpx.Client, Caller]) -> None:
    client, _ = asked
    body = b'{"domain": "edge", "descriptors": [{"entries": [{"key": "banned"}]}]}'
    for kind in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        assert client.post("/json", content=body, headers=kind).status_code == 429
        for page in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert client.post("/json", content=body, headers=kind | page).status_code == 415
    assert client.get("/json").status_code == 405


BAD = {
    "the message is not well-formed JSON": b"{",
    "the message: must be an object": b"[]",
    "domain: must not be empty": b"{}",
    "descriptors: must not be empty": b'{"domain": "edge"}',
    "domain: must be a string": b'{"domain": 1}',
    "the message: has a member that it may not have": b'{"domains": "edge"}',
    "descriptors[0]: has a member twice": b'{"descriptors": [{"entries": [], "entries": []}]}',
    "descriptors[0].entries[1].key: must not be empty": b'{"descriptors": [{"entries": [{"key": "a"}, {}]}]}',
    "descriptors[0].entries[0]: must be a string": b'{"descriptors": [{"entries": [{"key": 7}]}]}',
    "descriptors[1].hits_addend: must be a whole number from 0 to 4294967295": (
        b'{"descriptors": [{}, {"hitsAddend": -1}]}'
    ),
    "descriptors[0].is_negative_hits: must be true or false": b'{"descriptors": [{"isNegativeHits": 1}]}',
}


@pytest.mark.parametrize("said", BAD)
def test_what_is_wrong_is_told(asked: tuple[httpx.Client, Caller], said: str) -> None:
    answer = asked[0].post("/json", content=BAD[said])
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    problem = json.loads(answer.text)
    assert problem["detail"] == said
    assert problem.get("field", said) == said.partition(": ")[0]


def test_balancers_ask_for_health_where_they_did(asked: tuple[httpx.Client, Caller]) -> None:
    assert asked[0].get("/healthcheck").status_code == 200
