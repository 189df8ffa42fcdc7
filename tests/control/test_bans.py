"""Bans by people: the admin port and the commands that speak to it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimitd.client import Client, Request, Verdict

from .conftest import POLICY, Server

pytestmark = pytest.mark.e2e

PENALTIES = """\
penalties:
  brute-force: {key: client.ip, after: {denials: 3, within: 1m}, ban: [10m, 1h]}
  pair: {key: [client.ip, method], ban: 1h}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("bans") / "shop.yaml"
    path.write_text(POLICY + PENALTIES)
    options = ["--admin", "127.0.0.1:0", "--workers", "2", "--max-keys", "4096"]
    server = Server(["--policy", str(path), "--listen", "127.0.0.1:0", *options], {})
    try:
        server.ready()
        yield server
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


def check(server: Server, ip: str, **more: Any) -> Verdict:
    with Client(server.addresses[0]) as client:
        return client.check(Request(source_address=ip, **{"path": "/", **more}))


def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    told = [sys.executable, "-m", "ratelimitd", *arguments, "--admin", server.admin.removeprefix("http://")]
    return subprocess.run(told, capture_output=True, text=True, check=False)


def listed(server: Server, ip: str) -> list[dict[str, Any]]:
    rows = httpx.get(f"{server.admin}/bans", params={"n": "1000"}).raise_for_status().json()["bans"]
    return [row for row in rows if row["key"].startswith(ip)]


def test_denials_over_the_wire_lead_to_a_ban(shared: Server) -> None:
    ip = "198.51.100.1"
    told = [check(shared, ip, path="/login", method="POST") for _ in range(6)]
    assert [verdict.reason for verdict in told] == ["", "", *["over_limit"] * 3, "penalty"]
    assert (told[-1].status, told[-1].decided_by) == (403, "brute-force")
    assert (told[4].retry_after or 0) > 600  # what led to the ban is a limit that takes even longer
    assert told[5].retry_after in (599, 600)
    (row,) = listed(shared, ip)
    assert (row["domain"], row["penalty"], row["key"], row["level"]) == ("shop", "brute-force", ip, 1)
    assert row["until"].endswith("Z")


def test_workers_that_ban_at_once_ban_once(shared: Server) -> None:
    ip = "198.51.100.5"

    def hammer() -> None:
        with Client(shared.addresses[0]) as client:
            for _ in range(100):
                client.check(Request(source_address=ip, path="/login", method="POST"))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = listed(shared, ip)
    assert row["level"] == 1
    assert check(shared, ip).reason == "penalty"


def test_a_ban_by_hand_and_its_end(shared: Server) -> None:
    where = {"penalty": "pair", "key": ["198.51.100.2", "GET"]}
    answer = httpx.post(f"{shared.admin}/bans", params={**where, "for": "1h"})
    assert answer.json() == {"domain": "shop", **where, "banned": True}
    assert check(shared, "198.51.100.2").decided_by == "pair"
    assert check(shared, "198.51.100.2", method="PUT").allowed
    assert listed(shared, "198.51.100.2")[0]["key"] == "198.51.100.2|GET"
    assert httpx.delete(f"{shared.admin}/bans", params=where).json()["lifted"] is True
    assert check(shared, "198.51.100.2").allowed
    assert listed(shared, "198.51.100.2") == []


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ({}, 400, "which penalty"),
        ({"penalty": "brute", "key": "a", "for": "1h"}, 404, "did you mean 'brute-force'?"),
        ({"domain": "x", "penalty": "pair", "key": "a", "for": "1h"}, 404, "no domain"),
        ({"penalty": "pair", "key": "a", "for": "1h"}, 400, "2 parts"),
        ({"penalty": "brute-force", "key": "a"}, 400, "how long"),
        ({"penalty": "brute-force", "key": "a", "for": "soon"}, 400, "not a duration"),
        ({"penalty": "brute-force", "key": "a", "for": "0s"}, 400, "1ms to 366d"),
        ({"penalty": "brute-force", "key": "a", "for": "999d"}, 400, "1ms to 366d"),
        ({"penalty": "brute-force", "key": "a" * 5000, "for": "1h"}, 400, "at most 4096"),
    ],
)
def test_what_cannot_be_banned(shared: Server, query: dict[str, str], status: int, word: str) -> None:
    answer = httpx.post(f"{shared.admin}/bans", params=query)
    assert answer.status_code == status
    assert word in answer.text


def test_the_longest_ban_comes_first(shared: Server) -> None:
    for number in (1, 3, 2):
        params = {"penalty": "brute-force", "key": f"198.51.100.6{number}", "for": f"{100 + number}d"}
        assert httpx.post(f"{shared.admin}/bans", params=params).json()["banned"]
    rows = httpx.get(f"{shared.admin}/bans", params={"n": "2"}).json()["bans"]
    assert [row["key"] for row in rows] == ["198.51.100.63", "198.51.100.62"]


def test_a_list_is_bounded_and_a_page_of_another_origin_bans_nobody(shared: Server) -> None:
    for bad in ("0", "10001", "-1", "x", "0000010"):
        assert httpx.get(f"{shared.admin}/bans", params={"n": bad}).status_code == 400
    params = {"penalty": "brute-force", "key": "198.51.100.3", "for": "1h"}
    answer = httpx.post(f"{shared.admin}/bans", params=params, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert listed(shared, "198.51.100.3") == []


def test_the_commands(shared: Server) -> None:
    ip = "198.51.100.4"
    done = command(shared, "ban", ip, "--penalty", "brute-force", "--for", "1h")
    assert (done.returncode, done.stdout) == (0, f"banned {ip} by brute-force for 1h\n")
    assert ip in command(shared, "bans").stdout
    rows = json.loads(command(shared, "bans", "--json").stdout)["bans"]
    assert [row["level"] for row in rows if row["key"] == ip] == [0]
    assert command(shared, "unban", ip, "--penalty", "brute-force").returncode == 0
    assert ip not in command(shared, "bans").stdout
    again = command(shared, "unban", "198.51.100.99", "--penalty", "brute-force")
    assert (again.returncode, again.stdout) == (1, "nothing was known of 198.51.100.99 by brute-force\n")


def test_the_commands_say_what_is_wrong(shared: Server) -> None:
    done = command(shared, "ban", "a", "--penalty", "brute", "--for", "1h")
    assert done.returncode == 1
    assert "no penalty 'brute'" in done.stderr
    assert "did you mean 'brute-force'?" in done.stderr
    told = [sys.executable, "-m", "ratelimitd", "bans", "--admin", "127.0.0.1:1"]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is ratelimitd running there?" in done.stderr


def test_the_admin_port_may_be_a_unix_socket(tmp_path: Path) -> None:
    policy, path = tmp_path / "shop.yaml", tmp_path / "admin.sock"
    policy.write_text(POLICY + PENALTIES)
    server = Server(["--policy", str(policy), "--listen", "127.0.0.1:0", "--admin", f"unix:{path}"], {})
    try:
        server.ready()
        told = [sys.executable, "-m", "ratelimitd", "bans", "--admin", f"unix:{path}"]
        done = subprocess.run(told, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "nobody is banned\n")
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()
