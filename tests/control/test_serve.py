"""The process from start to exit: the ready line, admin, reload by edit and by SIGHUP, logs, drain."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ratelimitd.client import CheckError, Client, Request
from ratelimitd.policy import load_policy

from ..databases import compiling
from .conftest import POLICY, Launch, Server

pytestmark = pytest.mark.e2e

LOGIN = Request(method="POST", path="/login", source_address="203.0.113.7")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that change nothing of it but counters of keys of their own."""
    path = tmp_path_factory.mktemp("serve") / "shop.yaml"
    path.write_text(POLICY)
    arguments = ["--policy", str(path), "--listen", "127.0.0.1:0", "--listen", f"unix:{path.parent}/s.sock"]
    server = Server(
        [*arguments, "--admin", "127.0.0.1:0", "--workers", "2", "--max-keys", "4096", "--log-sample", "1"], {}
    )
    try:
        server.ready()
        yield server
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


def metrics(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = httpx.get(f"{server.admin}/metrics").raise_for_status().text
    return {
        (s.name, frozenset(s.labels.items())): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }


def test_the_ready_line_names_every_address(shared: Server) -> None:
    line = shared.ready()
    assert len(shared.addresses) == 2
    assert not shared.addresses[0].endswith(":0")
    assert shared.addresses[1].startswith("unix:/")
    assert line.endswith("policy shop.yaml (1 domain, 2 limits, 0 rules), 2 workers")


def test_both_doors_count_together(shared: Server) -> None:
    ask = Request(method="POST", path="/login", source_address="203.0.113.1")
    allowed = []
    for address in [*shared.addresses, shared.addresses[0]]:
        with Client(address) as client:
            allowed.append(client.check(ask).allowed)
    assert allowed == [True, True, False]


def test_call_for_people_and_for_programs(shared: Server) -> None:
    command = [
        sys.executable,
        "-m",
        "ratelimitd",
        "call",
        "--address",
        shared.addresses[0],
        "--method",
        "POST",
        "--path",
        "/login",
    ]
    command += ["--ip", "203.0.113.2"]
    people = subprocess.run([*command, "--repeat", "3"], capture_output=True, text=True)
    assert people.returncode == 3
    assert people.stdout.splitlines()[-1] == "2 allowed, 1 denied"
    assert "\x1b" not in people.stdout
    programs = subprocess.run([*command, "--json"], capture_output=True, text=True)
    verdict = json.loads(programs.stdout)
    assert programs.returncode == 3
    assert (verdict["decision"], verdict["status"], verdict["decided_by"]) == ("deny", 429, "login")
    assert {state["name"] for state in verdict["limits"]} >= {"login"}


def test_health(shared: Server) -> None:
    assert httpx.get(f"{shared.admin}/healthz").json()["status"] == "ok"
    ready = httpx.get(f"{shared.admin}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_the_index_names_what_there_is(shared: Server) -> None:
    for path in httpx.get(shared.admin).json()["endpoints"]:
        assert httpx.get(f"{shared.admin}{path}").status_code in (200, 400, 404)
    assert httpx.get(f"{shared.admin}/nonsense").json()["hint"]
    assert httpx.post(f"{shared.admin}/top").status_code == 405


def test_decisions_are_metrics(shared: Server) -> None:
    place = {"domain": "shop", "limit": "login", "list": "", "penalty": ""}
    labels = frozenset({**place, "decision": "deny", "reason": "over_limit"}.items())
    before = metrics(shared).get(("ratelimitd_decisions_total", labels), 0)
    with Client(shared.addresses[0]) as client:
        denied = sum(
            not client.check(Request(method="POST", path="/login", source_address="203.0.113.3")).allowed
            for _ in range(5)
        )
    after = metrics(shared)
    assert denied == 3
    assert after["ratelimitd_decisions_total", labels] - before == 3
    assert after["ratelimitd_check_duration_seconds_count", frozenset()] >= 5
    assert after["ratelimitd_keys_max", frozenset()] == 4096


def test_keys_are_looked_up_and_reset(shared: Server) -> None:
    ask = Request(method="POST", path="/login", source_address="203.0.113.4")
    query = {"domain": "shop", "limit": "login", "key": "203.0.113.4"}
    with Client(shared.addresses[0]) as client:
        assert httpx.get(f"{shared.admin}/keys", params=query).status_code == 404
        assert [client.check(ask).allowed for _ in range(3)] == [True, True, False]
        counter = httpx.get(f"{shared.admin}/keys", params=query).json()
        assert (counter["limit"], counter["counter"]["remaining"], counter["counter"]["used"]) == ("login", 0, 2)
        assert httpx.head(f"{shared.admin}/keys", params=query).status_code == 200
        assert not client.check(ask).allowed  # looking resets nothing
        assert httpx.delete(f"{shared.admin}/keys", params=query).json()["reset"] is True
        assert client.check(ask).allowed


@pytest.mark.parametrize(
    ("query", "status", "hint"),
    [
        ({}, 400, "/keys?"),
        ({"limit": "login"}, 400, "one key= for each part"),
        ({"limit": "logn"}, 404, "did you mean 'login'?"),
        ({"domain": "shp", "limit": "login"}, 404, "did you mean 'shop'?"),
    ],
)
def test_a_key_that_is_not_named_well(shared: Server, query: dict[str, str], status: int, hint: str) -> None:
    answer = httpx.get(f"{shared.admin}/keys", params=query)
    assert answer.status_code == status
    assert hint in answer.json()["hint"]


def test_a_page_of_another_origin_gets_nothing(shared: Server) -> None:
    url = f"{shared.admin}/keys?limit=login&key=203.0.113.9"
    assert httpx.get(f"{shared.admin}/policy", headers={"host": "evil.example"}).status_code == 403
    assert httpx.post(url, headers={"origin": "http://evil.example"}).status_code == 403
    assert httpx.post(url, headers={"host": "evil.example", "origin": "http://evil.example"}).status_code == 403


def test_the_policy_is_shown(shared: Server) -> None:
    shown = httpx.get(f"{shared.admin}/policy").json()
    assert shown["domains"][0]["limits"][1]["name"] == "login"
    assert len(shown["digest"]) == 64
    assert "limit login: 2 per 1h" in httpx.get(f"{shared.admin}/policy?format=text").text
    assert "login" in httpx.get(f"{shared.admin}/policy?format=native").text


def test_the_hottest_keys_and_the_log(shared: Server) -> None:
    with Client(shared.addresses[0]) as client:
        verdicts = [
            client.check(Request(method="POST", path="/login?a=1", source_address="203.0.113.5")) for _ in range(4)
        ]

    def denied() -> Any:
        rows = httpx.get(f"{shared.admin}/top?n=100").json()["denied"]
        return next((row for row in rows if row["key"] == "203.0.113.5"), None)

    assert shared.until(denied)["hits"] >= 1
    line = shared.until(lambda: [x for x in shared.logged("decision") if x.get("reference") == verdicts[3].reference])[
        0
    ]
    assert (line["decision"], line["reason"], line["limit"], line["client"]) == (
        "deny",
        "over_limit",
        "login",
        "203.0.113.5",
    )
    assert line["path"].startswith("/login")


def test_an_edit_is_live_within_a_second_and_keeps_counts(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy))
    with Client(server.addresses[0]) as client:
        assert [client.check(LOGIN).allowed for _ in range(3)] == [True, True, False]
        policy.write_text(POLICY.replace("limit: 2", "limit: 3"))
        line = server.until(lambda: server.logged("policy reloaded"), 3)[0]
        assert line["changes"] == ["changed shop/login: limit 2 -> 3"]
        assert line["counters_reset"] == []
        assert [client.check(LOGIN).allowed for _ in range(2)] == [True, False]  # one more, not three
        policy.write_text(POLICY.replace("window: 1h", "window: 2h"))
        line = server.until(lambda: server.logged("policy reloaded")[1:], 3)[0]
        assert line["counters_reset"] == ["shop/login"]
        assert client.check(LOGIN).allowed


def test_a_broken_edit_changes_nothing_and_says_why(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy))
    with Client(server.addresses[0]) as client:
        policy.write_text(POLICY.replace("window", "widnow"))
        refused = server.until(lambda: server.logged("policy refused"), 3)
        assert f"{policy}:4:" in refused[0]["diagnostic"]
        assert "did you mean 'window'?" in refused[0]["diagnostic"]
        assert [client.check(LOGIN).allowed for _ in range(3)] == [True, True, False]
    ready = httpx.get(f"{server.admin}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert any("widnow" in text for text in ready.json()["policy"]["diagnostics"])
    read = metrics(server)
    assert read["ratelimitd_reload_success", frozenset()] == 0
    assert read["ratelimitd_reloads_total", frozenset({("result", "failure")})] == 1
    policy.write_text(POLICY)
    server.until(lambda: httpx.get(f"{server.admin}/readyz").json()["status"] == "ready", 3)


def test_no_edit_stops_a_running_server(launch: Launch, policy: Path) -> None:
    """Mangled policies in quick succession while calls go on: each is taken or refused, counted and told, none is
    fatal.
    """
    server = launch("--policy", str(policy))
    chance = random.Random(5)
    with Client(server.addresses[0]) as client:
        for number in range(200):
            told = len(attempts(server))
            policy.write_bytes(mangled(chance))
            if number % 10 == 0:
                server.process.send_signal(signal.SIGHUP)
                server.until(lambda told=told: len(attempts(server)) > told)
            assert client.check(Request(path="/", source_address="203.0.113.9", cost=0)).status in (200, 429)
        policy.write_text(POLICY)
        good = load_policy(policy).plan.digest
        server.until(lambda: httpx.get(f"{server.admin}/readyz").json()["policy"]["digest"] == good)
        assert client.check(LOGIN).allowed
    read = metrics(server)
    taken, refused = (read["ratelimitd_reloads_total", frozenset({("result", r)})] for r in ("success", "failure"))
    assert refused > 0
    assert taken + refused == 1 + len(attempts(server)) >= 20
    assert min(taken, refused) > 1
    assert not [line for line in server.lines if "unexpectedly" in line or "E002" in line]
    assert server.stop() == 0


def attempts(server: Server) -> list[dict[str, Any]]:
    """What the log says of the reloads."""
    return server.logged("policy reloaded") + server.logged("reload failed: the last good policy stays")


def mangled(chance: random.Random) -> bytes:
    """The policy with some lines or bytes lost, doubled, moved or replaced; still its own domain as often as not."""
    data = bytearray(POLICY, "utf-8")
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(data))
        size = chance.randint(1, 12)
        junk = chance.choice(
            [b"", b"\xff", b"\0", b"[", b": ", b"*a", b"&a ", b"!!x ", b"\t", b"-1", b"9" * 40, data[:50]]
        )
        data[at : at + size] = junk
    return bytes(data)


def test_sighup_reloads(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy))
    server.ready()
    server.process.send_signal(signal.SIGHUP)
    line = server.until(lambda: server.logged("policy reloaded"))[0]
    assert (line["generation"], line["changes"]) == (2, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(launch: Launch, policy: Path, number: int) -> None:
    server = launch("--policy", str(policy))
    with Client(server.addresses[0]) as client:
        assert client.check(LOGIN).allowed
        assert server.stop(number) == 0  # the idle connection does not hold it up
    assert server.logged("stopped")[0]["cut_connections"] == 0


def test_while_it_settles_it_is_not_ready_but_answers(launch: Launch, policy: Path) -> None:
    server = launch("--policy", str(policy), "--drain-delay-seconds", "30")
    with Client(server.addresses[0]) as client:
        assert client.check(LOGIN).allowed
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: httpx.get(f"{server.admin}/readyz").status_code == 503)
        assert client.check(LOGIN).allowed
        assert server.stop() == 0  # a second signal is in a hurry
        with pytest.raises(CheckError):
            client.check(LOGIN)


def test_settings_come_from_the_environment(launch: Launch, policy: Path) -> None:
    environ = {"RATELIMITD_POLICY": str(policy), "RATELIMITD_LOG_LEVEL": "warning", "RATELIMITD_MAX_KEY": "1"}
    server = launch("--admin", "off", environ=environ)
    assert "admin off, policy shop.yaml" in server.ready()
    assert "did you mean RATELIMITD_MAX_KEYS?" in "".join(server.lines)
    assert server.stop() == 0
    assert not server.logged("stopped")


def test_admin_on_a_unix_socket(launch: Launch, policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = launch("--policy", str(policy), "--admin", f"unix:{path}")
    assert f"admin unix:{path}," in server.ready()
    assert path.stat().st_mode & 0o077 == 0  # its owner's alone
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
        assert client.get("/readyz").status_code == 200
    assert server.stop() == 0
    assert not path.exists()


def test_a_directory_of_domains_whose_keys_are_hidden(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(POLICY)
    (tmp_path / "bank.yaml").write_text(POLICY.replace("domain: shop", "domain: bank\nprivacy: {keys: hash}"))
    server = launch("--policy", str(tmp_path))
    ask = Request(method="POST", path="/login", source_address="203.0.113.7", domain="bank")
    with Client(server.addresses[0]) as client:
        assert [client.check(ask).allowed for _ in range(3)] == [True, True, False]
    line = server.until(lambda: [x for x in server.logged("decision") if x["decision"] == "deny"])[0]
    assert (line["domain"], line["limit"]) == ("bank", "login")
    assert "203.0.113.7" not in json.dumps(line)
    assert len(line["key"]) == len(line["client"]) == 16
    query = {"domain": "bank", "limit": "login", "key": "203.0.113.7"}
    assert httpx.get(f"{server.admin}/keys", params=query).json()["counter"]["used"] == 2
    assert httpx.get(f"{server.admin}/keys", params={"limit": "login"}).json()["domains"] == ["bank", "shop"]


def test_an_address_in_use_says_so(launch: Launch, policy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = launch("--policy", str(policy), "--listen", address)
        assert server.process.wait(5) == 1
        server.until(lambda: f"cannot listen on {address}" in "".join(server.lines))


def test_systemd_is_told(launch: Launch, policy: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.settimeout(5)
        server = launch("--policy", str(policy), environ={"NOTIFY_SOCKET": f"{tmp_path}/notify"})
        assert manager.recv(64) == b"READY=1"
        server.process.send_signal(signal.SIGTERM)
        assert manager.recv(64) == b"STOPPING=1"


def test_the_starter_policy_is_served_when_none_is_named(launch: Launch) -> None:
    with compiling() as databases:
        server = launch(environ={"RATELIMITD_CACHE_DIR": str(databases)})
        server.until(lambda: any("ratelimitd ready:" in line for line in server.lines), 120)
    assert "policy starter.yaml (1 domain, " in server.ready()
