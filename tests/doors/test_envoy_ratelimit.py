"""Envoy's rate limit filter, configured by the files in examples/, asks ratelimitd instead of envoyproxy/ratelimit."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from ..e2e import serving
from .conftest import EXAMPLES, Ports, answering, configured, free_port, program, with_line

pytestmark = pytest.mark.e2e

Header = dict[str, str]
BUDGET = 1500  # bytes that a client may download here


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx.Client]]:
    """Of an Envoy, and of one whose ratelimitd is away."""
    directory = tmp_path_factory.mktemp("envoy-ratelimit")
    config, log = directory / "config", directory / "ratelimitd.log"
    config.mkdir()
    text = (EXAMPLES / "envoy" / "ratelimit" / "edge.yaml").read_text()
    (config / "edge.yaml").write_text(text.replace("requests_per_unit: 1000000000", f"requests_per_unit: {BUDGET}"))
    command = [sys.executable, "-m", "ratelimitd", "serve", "--ratelimit-config", str(config)]
    command += ["--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2"]
    with ExitStack() as stack:
        process = stack.enter_context(serving.running(command, log))
        asked = int(serving.wait_for_line(process, log, r"ratelimitd ready: grpc 127\.0\.0\.1:(\d+)")[1])
        app = stack.enter_context(serving.upstream())
        made = []
        for ratelimitd in (asked, free_port()):
            ports = Ports(free_port(), ratelimitd, app)
            run_envoy(stack, ports, directory / str(len(made)))
            made.append(stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{ports.proxy}", timeout=10)))
        serving.eventually(lambda: "x-ratelimit-limit" in made[0].get("/").headers or None, "an answer of ratelimitd")
        yield made


def run_envoy(stack: ExitStack, ports: Ports, directory: Path) -> None:
    """The tests stand for a balancer, whose word Envoy takes for who asked."""
    directory.mkdir()
    text = configured("envoy/envoy-ratelimit.yaml", ports).replace("timeout: 0.1s # 20", "timeout: 5s # 20")
    (directory / "envoy.yaml").write_text(with_line(text, "use_remote_address: true", "xff_num_trusted_hops: 1"))
    command = [program("envoy"), "-c", str(directory / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]
    stack.enter_context(serving.running([*command, "-l", "warning"], directory / "envoy.log"))
    serving.eventually(lambda: answering(ports.proxy) or None, "envoy", 30)


def test_headers_tell_the_limit_that_is_nearest_to_its_end(clients: list[httpx.Client], somebody: Header) -> None:
    answers = [clients[0].get("/login", headers=somebody) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0", "0"]
    for answer in answers:
        limits = answer.headers["x-ratelimit-limit"]
        assert '3;w=3600;name="login"' in limits
        assert '100;w=60;name="per-client"' in limits
        assert 0 < int(answer.headers["x-ratelimit-reset"]) <= 86_400
    assert answers[3].headers["x-envoy-ratelimited"] == "true"
    assert clients[0].get("/", headers=somebody).status_code == 200


def test_quotas_say_what_is_left_and_a_trial_denies_nobody(clients: list[httpx.Client], somebody: Header) -> None:
    answers = [clients[0].get("/trial", headers=somebody) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.headers["x-lane"] for answer in answers] == ["fast", "fast", "slow", "slow"]


def test_bytes_count_when_they_are_known(clients: list[httpx.Client], somebody: Header) -> None:
    """Asking costs nothing; what was sent then does."""
    sent = 0
    while (answer := clients[0].get("/" + "x" * 500, headers=somebody)).status_code == 200:
        sent += len(answer.content)
        assert sent < 10 * BUDGET
    assert answer.status_code == 429
    assert sent > BUDGET
    assert re.search(rf'{BUDGET};w=86400;name="download"', answer.headers["x-ratelimit-limit"])


def test_when_ratelimitd_is_away(clients: list[httpx.Client], somebody: Header) -> None:
    answer = clients[1].get("/login", headers=somebody)
    assert answer.status_code == 200
    assert "x-ratelimit-limit" not in answer.headers
