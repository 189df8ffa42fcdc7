"""Two serving processes and a Redis: a ban holds on both within two intervals; so do its end and resets."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from ratelimitd.client import Client, Request, Verdict
from tests.control.conftest import Server

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("bans")]

POLICY = """\
version: 1
domain: shop
limits:
  login: {match: {method: POST, path: /login}, key: client.ip, limit: 2, window: 1h}
  api: {match: {path: /api}, key: client.ip, limit: 100, window: 1h}
penalties:
  brute-force: {key: client.ip, after: {denials: 3, within: 1m}, ban: 10m}
"""
INTERVAL = 0.1
SLACK = 0.1  # of the calls that ask
TRIES = 4  # a busy machine may be late; not every time


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    place = tmp_path_factory.mktemp("redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    command = ["redis-server", "--port", str(number), "--bind", "127.0.0.1", "--save", "", "--dir", str(place)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=number) as client:
            deadline = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
        yield number
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def serve(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    path = tmp_path_factory.mktemp("nodes") / "shop.yaml"
    path.write_text(POLICY)
    made: list[Server] = []

    def start() -> Server:
        options = ["--policy", str(path), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]
        sync = ["--redis", f"redis://127.0.0.1:{port}", "--sync-interval-ms", str(int(INTERVAL * 1000))]
        made.append(Server([*options, *sync, "--max-keys", "4096"], {}))
        made[-1].ready()
        return made[-1]

    yield start
    for server in made:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def nodes(serve: Callable[[], Server]) -> tuple[Server, Server]:
    pair = serve(), serve()
    for node in pair:
        node.until(lambda node=node: any("nodes that share counts" in line and "2" in line for line in node.lines))
    return pair


def check(server: Server, ip: str, **more: str) -> Verdict:
    with Client(server.addresses[0]) as client:
        return client.check(Request(source_address=ip, **{"path": "/", **more}))  # type: ignore[arg-type]


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + 5
        time.sleep(0.005)
    return time.monotonic() - began


def quickest(trial: Callable[[int], float]) -> float:
    return min(trial(number) for number in range(TRIES))


def test_a_ban_holds_on_both(nodes: tuple[Server, Server]) -> None:
    one, two = nodes

    def trial(number: int) -> float:
        ip = f"198.51.101.{number}"
        for _ in range(5):
            last = check(one, ip, path="/login", method="POST")
        assert last.reason == "over_limit"
        assert check(one, ip).reason == "penalty"
        return seconds_until(lambda: check(two, ip).reason == "penalty")

    assert quickest(trial) < 2 * INTERVAL + SLACK


def test_what_people_lift_is_lifted_on_both(nodes: tuple[Server, Server]) -> None:
    one, two = nodes
    ip = "198.51.100.1"
    for _ in range(5):
        last = check(one, ip, path="/login", method="POST")
    assert last.reason == "over_limit"
    assert check(one, ip).reason == "penalty"
    seconds_until(lambda: check(two, ip).reason == "penalty")
    (row,) = [row for row in httpx.get(f"{two.admin}/bans").json()["bans"] if row["key"] == ip]
    assert (row["penalty"], row["level"]) == ("brute-force", 1)
    assert httpx.delete(f"{two.admin}/bans", params={"penalty": "brute-force", "key": ip}).json()["lifted"] is True
    seconds_until(lambda: check(one, ip).allowed)


def test_a_reset_holds_on_both(nodes: tuple[Server, Server]) -> None:
    one, two = nodes
    ip = "198.51.100.2"

    def used(server: Server) -> int:
        answer = httpx.get(f"{server.admin}/keys", params={"limit": "api", "key": ip})
        return int(answer.json()["counter"]["used"]) if answer.status_code == 200 else 0

    check(one, ip, path="/api")
    seconds_until(lambda: check(two, ip, path="/api").allowed and used(two) > 3)
    check(one, ip, path="/api")
    seconds_until(lambda: used(one) > 3)
    assert httpx.delete(f"{one.admin}/keys", params={"limit": "api", "key": ip}).json()["reset"] is True
    seconds_until(lambda: used(one) == used(two) == 0)
    time.sleep(3 * INTERVAL)  # and what the store still knew does not come back
    assert (used(one), used(two)) == (0, 0)


def test_denials_on_both_count_together(nodes: tuple[Server, Server]) -> None:
    """Denials are counted as hits are: over the cluster."""
    one, two = nodes
    ip = "198.51.100.3"
    assert [check(one, ip, path="/login", method="POST").reason for _ in range(4)] == [
        "",
        "",
        "over_limit",
        "over_limit",
    ]
    reasons = []
    while len(reasons) < 9 and "penalty" not in reasons:
        time.sleep(2 * INTERVAL)
        reasons.append(check(two, ip, path="/login", method="POST").reason)
    assert reasons.count("over_limit") <= 2  # alone it would take 3
    seconds_until(lambda: check(one, ip).reason == "penalty")


def test_a_node_that_starts_knows_who_is_banned(nodes: tuple[Server, Server], serve: Callable[[], Server]) -> None:
    params = {"penalty": "brute-force", "key": "198.51.100.4", "for": "1h"}
    assert httpx.post(f"{nodes[0].admin}/bans", params=params).json()["banned"] is True
    seconds_until(lambda: check(nodes[1], "198.51.100.4").reason == "penalty")
    late = serve()
    seconds_until(lambda: check(late, "198.51.100.4").reason == "penalty")


def test_the_store_forgets_and_is_told_again(
    nodes: tuple[Server, Server], serve: Callable[[], Server], port: int, tmp_path: Path
) -> None:
    params = {"penalty": "brute-force", "key": "198.51.100.5", "for": "1h"}
    assert httpx.post(f"{nodes[0].admin}/bans", params=params).json()["banned"] is True
    seconds_until(lambda: check(nodes[1], "198.51.100.5").reason == "penalty")
    with redis.Redis(port=port) as client:
        key = client.get("{ratelimitd}:key")
        client.flushall()
        client.set("{ratelimitd}:key", key or b"")
        seconds_until(lambda: client.hlen("{ratelimitd}:events") > 2)
    late = serve()
    seconds_until(lambda: check(late, "198.51.100.5").reason == "penalty")
