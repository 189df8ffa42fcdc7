"""ShouldRateLimit over a socket: configuration, policies of ours, reload, refusals."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest

from tests.model.descriptors import Asked, Status
from tests.ratelimit.conftest import CONFIG, POLICY, Serving, one
from tests.ratelimit.messages import Request, statuses


def test_a_configuration_is_served_as_it_is(serving: Serving, configuration: Path) -> None:
    server, caller = serving("--ratelimit-config", str(configuration))
    for left, over in ((1, False), (0, False), (0, True)):
        answer = caller.ask("edge", one("user"), one("free"), one("nobody"))
        assert answer.overall_code == (2 if over else 1)
        user, free, nobody = statuses(answer)
        assert (user.over, user.limit, user.remaining) == (over, (2, "day", "per-user"), left)
        assert 0 < user.reset <= 86_400
        assert (free, nobody) == (Status(remaining=2**32 - 1), Status())
        assert not answer.response_headers_to_add
    assert statuses(caller.ask("edge", one("user", "y"), hits=2))[0].remaining == 0
    assert caller.ask("edge", one("banned")).overall_code == 2
    assert caller.ask("edge", one("banned", "y", hits=0)).overall_code == 1  # only looks
    assert caller.ask("edge", one("watched")).overall_code == 1
    assert caller.ask("unknown", one("user")).overall_code == 1
    assert "1 domain" in server.ready()
    metrics = httpx.get(server.admin + "/metrics").text
    assert 'method="should_rate_limit"' in metrics


def test_headers_and_shadow_are_settings(serving: Serving, configuration: Path) -> None:
    _, caller = serving(
        "--ratelimit-config", str(configuration), LIMIT_RESPONSE_HEADERS_ENABLED="true", SHADOW_MODE="true"
    )
    answer = caller.ask("edge", one("user", "a"), one("banned"))
    assert (answer.overall_code, [s.over for s in statuses(answer)]) == (1, [False, True])
    _, caller = serving("--ratelimit-config", str(configuration), "--ratelimit-headers")
    answer = caller.ask("edge", one("user", "a"))
    found = {header.key: header.value for header in answer.response_headers_to_add}
    assert found.keys() == {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}
    assert (found["ratelimit-limit"], found["ratelimit-remaining"]) == ("2", "1")
    answer = caller.ask("edge", one("user", "a"), one("banned"))
    found = {header.key: header.value for header in answer.response_headers_to_add}
    assert (found["ratelimit-limit"], found["ratelimit-remaining"]) == ("0", "0")
    assert found["retry-after"] == found["ratelimit-reset"]


def test_policies_of_ours_stand_beside_it(serving: Serving, configuration: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(POLICY)
    _, caller = serving("--policy", str(tmp_path / "shop.yaml"), "--ratelimit-config", str(configuration))
    by_address = Asked([("remote_address", "203.0.113.7")])
    assert [caller.ask("shop", by_address).overall_code for _ in range(3)] == [1, 1, 2]
    answer = caller.ask("shop", Asked([("remote_address", "203.0.113.8")]))
    assert statuses(answer)[0].limit == (2, "unknown", "per-ip")  # no unit is 30 s
    assert [h.key for h in answer.response_headers_to_add] == ["ratelimit-policy", "ratelimit"]
    by_key = Asked([("plan", "gold"), ("key", "k")])
    assert [caller.ask("shop", by_key).overall_code for _ in range(2)] == [1, 2]
    assert caller.ask("shop", Asked([("key", "k"), ("plan", "gold")])).overall_code == 1
    assert caller.ask("edge", one("banned")).overall_code == 2


def test_what_one_descriptor_denies_costs_the_others_nothing(serving: Serving, tmp_path: Path) -> None:
    """consume: all_or_none is about the whole call."""
    (tmp_path / "shop.yaml").write_text(POLICY)
    _, caller = serving("--policy", str(tmp_path / "shop.yaml"))
    first, second = Asked([("remote_address", "203.0.113.7")]), Asked([("plan", "a"), ("key", "k")])
    caller.ask("shop", second)
    assert caller.ask("shop", first, second).overall_code == 2
    assert statuses(caller.ask("shop", Asked(first.entries, hits=0)))[0].remaining == 2


def test_a_limit_that_a_descriptor_brings(serving: Serving, configuration: Path) -> None:
    _, caller = serving("--ratelimit-config", str(configuration))
    asked = Asked([("banned", "x"), ("k", "v")], limit=(1, "hour"))
    assert [caller.ask("edge", asked).overall_code for _ in range(2)] == [1, 2]
    assert statuses(caller.ask("edge", asked))[0].limit == (1, "hour", "")
    assert caller.ask("unknown", asked).overall_code == 1


def test_it_is_reloaded_and_the_last_good_one_is_kept(serving: Serving, configuration: Path) -> None:
    server, caller = serving("--ratelimit-config", str(configuration))
    assert caller.ask("edge", one("user"), hits=2).overall_code == 1
    file = configuration / "edge.yaml"
    file.write_text(CONFIG.replace("requests_per_unit: 2", "requests_per_unit: 5"))
    server.until(lambda: statuses(caller.ask("edge", one("user", hits=0)))[0].remaining == 3)  # counts are kept
    file.write_text(CONFIG.replace("requests_per_unit", "request_per_unit"))
    server.until(lambda: any("P203" in line for line in server.lines))
    assert statuses(caller.ask("edge", one("user", hits=0)))[0].remaining == 3
    file.write_text(CONFIG)
    (configuration / "more.yaml").write_text("domain: more\ndescriptors: [{key: a, rate_limit: {unit: day}}]\n")
    server.until(lambda: caller.ask("more", one("a")).overall_code == 2)


def test_a_runtime_directory_of_the_environment(serving: Serving, configuration: Path) -> None:
    server, caller = serving(
        "--ratelimit-config", "env", RUNTIME_ROOT=str(configuration.parent.parent),
        RUNTIME_SUBDIRECTORY=configuration.parent.name, LOG_LEVEL="WARN",
    )  # fmt: skip
    assert caller.ask("edge", one("banned")).overall_code == 2
    text = httpx.get(server.admin + "/rlconfig").text
    assert "edge.user: unit=DAY requests_per_unit=2, shadow_mode: false" in text


def test_the_health_of_ratelimit(serving: Serving, configuration: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    _, caller = serving("--ratelimit-config", str(configuration))
    for name in ("ratelimit", "envoy.service.ratelimit.v3.RateLimitService"):
        answer = health_pb2_grpc.HealthStub(caller.channel).Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


BAD = {
    "domain: must not be empty": Request(),
    "descriptors: must not be empty": Request(domain="edge"),
}


@pytest.mark.parametrize("said", BAD)
def test_a_bad_call_is_refused_by_the_name_of_its_field(serving: Serving, configuration: Path, said: str) -> None:
    _, caller = serving("--ratelimit-config", str(configuration))
    with pytest.raises(grpc.RpcError) as refused:
        caller.method(BAD[said], timeout=5, wait_for_ready=True)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == said
