"""A real Envoy with the rate limit filter: allowed, limited, headers, dynamic metadata, and what happens without us."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest

from . import serving
from .conftest import listening
from .envoy_bootstrap import Node, cluster, socket_address, typed

pytestmark = pytest.mark.e2e

FILTER = "envoy.filters.http.ratelimit"
CONFIG = """\
domain: edge
descriptors:
  - key: user
    rate_limit: {unit: month, requests_per_unit: 2, name: per-user}
  - key: lane
    value: fast
    quota_mode: true
    rate_limit: {unit: month, requests_per_unit: 1}
    metadata: {lane: {name: fast}}
"""


def listener(name: str, **fields: Any) -> Node:
    filters = typed("filters.http.ratelimit.v3.RateLimit", domain="edge", **fields)
    action = {"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}
    lane = {"request_headers": {"header_name": "x-lane", "descriptor_key": "lane"}}
    limits = [{"actions": [action]}, {"actions": [lane]}]
    mutation = typed(
        "filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "response_mutations": [
                {"append": {"header": {"key": "x-lane", "value": f"%DYNAMIC_METADATA({FILTER}:metadata:lane:name)%"}}}
            ]
        },
    )
    route: Node = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "rate_limits": limits}}
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            {"name": "envoy.filters.http.header_mutation", "typed_config": mutation},
            {"name": FILTER, "typed_config": filters},
            {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")},
        ],
    )
    return {
        "name": name,
        "address": socket_address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def service(name: str) -> Node:
    return {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": name}, "timeout": "5s"},
    }


@pytest.fixture(scope="module")
def clients(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx.Client]]:
    directory = tmp_path_factory.mktemp("ratelimit")
    (directory / "config").mkdir()
    (directory / "config" / "edge.yaml").write_text(CONFIG)
    arguments = ["--ratelimit-config", str(directory / "config"), "--ratelimit-headers"]
    with ExitStack() as stack:
        refused = stack.enter_context(closing(socket.socket()))
        refused.bind(("127.0.0.1", 0))
        (directory / "shop.yaml").write_text("version: 1\ndomain: shop\n")
        log = directory / "ratelimitd.log"
        _, port = stack.enter_context(serving.ratelimitd(directory / "shop.yaml", log, *arguments))
        upstream = stack.enter_context(serving.upstream())
        bootstrap = {
            "admin": {"address": socket_address(0)},
            "static_resources": {
                "listeners": [
                    listener("plain", rate_limit_service=service("ratelimitd")),
                    listener(
                        "x", rate_limit_service=service("ratelimitd"), enable_x_ratelimit_headers="DRAFT_VERSION_03"
                    ),
                    listener("open", rate_limit_service=service("refused")),
                    listener("closed", rate_limit_service=service("refused"), failure_mode_deny=True),
                ],
                "clusters": [
                    cluster("upstream", upstream, http2=False),
                    cluster("ratelimitd", port, http2=True),
                    cluster("refused", refused.getsockname()[1], http2=True),
                ],
            },
        }
        ports = stack.enter_context(listening(executable, bootstrap, directory))
        yield {
            name: stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{number}", timeout=20))
            for name, number in ports.items()
        }


def user() -> dict[str, str]:
    return {"x-user": uuid.uuid4().hex}


def test_the_third_request_of_a_user_is_limited(clients: dict[str, httpx.Client]) -> None:
    sent = user()
    answers = [clients["plain"].get("/a", headers=sent) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {"2"}
    assert 0 < int(answers[2].headers["retry-after"]) <= 2_592_000
    assert clients["plain"].get("/a").status_code == 200  # no descriptor, no question


def test_envoys_own_headers_read_our_answer(clients: dict[str, httpx.Client]) -> None:
    answer = clients["x"].get("/a", headers=user())
    assert answer.headers["x-ratelimit-limit"] == '2, 2;w=2592000;name="per-user"'
    assert answer.headers["x-ratelimit-remaining"] == "1"


def test_metadata_of_a_quota_reaches_the_other_filters(clients: dict[str, httpx.Client]) -> None:
    found = [clients["plain"].get("/a", headers={"x-lane": "fast"}) for _ in range(2)]
    assert [answer.status_code for answer in found] == [200, 429]  # no other quota is left
    assert found[0].headers["x-lane"] == "fast"
    assert "x-lane" not in found[1].headers


def test_without_us_the_failure_mode_decides(clients: dict[str, httpx.Client]) -> None:
    assert clients["open"].get("/a", headers=user()).status_code == 200
    assert clients["closed"].get("/a", headers=user()).status_code == 500
