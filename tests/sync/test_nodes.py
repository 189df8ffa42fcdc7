"""Nodes that share one Redis, as whole processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import eventually

from . import servers

pytestmark = pytest.mark.e2e

IP = "203.0.113.7"
# What docs/cluster.md tells to allow.
ACL = (
    "~{ratelimitd* +info +time +script|load +evalsha +hincrby +hget +hset +hdel +hmget +pttl +pexpire +pexpireat "
    "+zadd +zrem +zcard +zrange +zrevrange +zremrangebyscore +zrangebyscore +set +get +multi +exec +client|setname "
    "+cluster|slots"
)


def test_two_nodes_admit_what_one_would(store: servers.Redis, policy: Path, tmp_path: Path) -> None:
    url = f"redis://{store.name}"
    with servers.node(policy, tmp_path / "a", url) as a, servers.node(policy, tmp_path / "b", url) as b:
        for one in (a, b):
            one.wait_for_store(2)
        assert a.ask(600) == 600
        servers.settle()
        admitted = b.ask(600)
        assert 300 <= admitted <= 400
        for _ in range(50):  # near the limit b is careful until it has heard: a might be at it still
            servers.settle(0.15)
            admitted += b.ask(10)
            if admitted >= 400:
                break
        assert admitted == 400
        a.ask()
        eventually(lambda: a.used("per-ip", IP) >= 1000, "a knows")
        assert a.ask(50) == 0
        lives = {key: store.client.pttl(key) for key in store.client.keys("*")}
        assert all(life > 0 for life in lives.values()), lives


def test_a_leased_limit_is_never_over(store: servers.Redis, policy: Path, tmp_path: Path) -> None:
    url = f"redis://{store.name}"
    with servers.node(policy, tmp_path / "a", url) as a, servers.node(policy, tmp_path / "b", url) as b:
        for one in (a, b):
            one.wait_for_store(2)
        passed = 0
        for _ in range(150):
            passed += a.ask(5, path="/leased") + b.ask(2, path="/leased")
            servers.settle(0.02)
        assert 291 <= passed <= 300
        assert store.client.pttl(store.client.keys("*:l:*")[0]) > 0


def test_a_restart_loses_nothing(store: servers.Redis, policy: Path, tmp_path: Path) -> None:
    """SIGTERM flushes what was counted a moment ago; a node that starts finds it."""
    url = f"redis://{store.name}"
    with servers.node(policy, tmp_path / "a", url, "--sync-interval-ms", "5000") as a:
        a.wait_for_store(1)
        assert a.ask(700) == 700
        a.stop()
    with servers.node(policy, tmp_path / "b", url) as b:
        b.wait_for_store(1)
        b.ask()
        servers.settle()
        assert b.ask(290) == 290
        for _ in range(10):
            servers.settle(0.15)
            b.ask(5)
        assert b.used("per-ip", IP) == 1000


def test_a_store_that_forgets_is_told_again(store: servers.Redis, policy: Path, tmp_path: Path) -> None:
    url = f"redis://{store.name}"
    with servers.node(policy, tmp_path / "a", url) as a, servers.node(policy, tmp_path / "b", url) as b:
        for one in (a, b):
            one.wait_for_store(2)
        assert a.ask(300) == 300
        servers.settle()
        assert b.ask(200) == 200
        eventually(lambda: b.used("per-ip", IP) == 500, "b knows")
        store.client.flushall()
        store.client.script_flush()
        eventually(lambda: b.metric("ratelimitd_store_resyncs_total") > 0, "b noticed")
        with servers.node(policy, tmp_path / "c", url) as c:
            c.wait_for_store(3)
            c.ask()
            eventually(lambda: c.used("per-ip", IP) == 501, "c knows")


def test_an_outage_loses_no_count(tmp_path: Path, policy: Path) -> None:
    with servers.single(tmp_path) as store:
        url = f"redis://{store.name}"
        with servers.node(policy, tmp_path / "a", url) as a, servers.node(policy, tmp_path / "b", url) as b:
            for one in (a, b):
                one.wait_for_store(2)
            assert a.ask(100) == 100
            store.kill()
            eventually(lambda: not a.store()["ok"], "a noticed")
            assert (a.ask(100), b.ask(200)) == (100, 200)
            assert a.get("/readyz")["status"] == "degraded"
            store.start()
            for one in (a, b):
                one.wait_for_store(2)
            assert a.ask() == 1
            servers.settle()
            assert b.ask() == 1
            eventually(lambda: b.used("per-ip", IP) == 402, "b knows all")
            assert [event["kind"] for event in a.events("a master of the store fails: checks go on")] == ["connection"]
            assert len(a.events("a master of the store answers again")) == 1


def test_a_store_that_hangs_delays_no_check(tmp_path: Path, policy: Path) -> None:
    with servers.single(tmp_path) as store, servers.node(policy, tmp_path / "a", f"redis://{store.name}") as a:
        a.wait_for_store(1)
        store.signal(signal.SIGSTOP)
        try:
            assert a.ask(300) == 300
            eventually(lambda: a.store()["masters"][0]["trouble"] == "timeout", "a noticed", 20)
            assert a.ask(300) == 300
        finally:
            store.signal(signal.SIGCONT)
        a.wait_for_store(1)


def test_no_store_at_start(tmp_path: Path, policy: Path) -> None:
    """The node starts alone, says so, and joins when the store comes."""
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}"
    with servers.node(policy, tmp_path / "a", url, "--redis-wait-seconds", "0.2") as a:
        assert a.ask(10) == 10
        assert a.get("/readyz")["status"] == "degraded"
        assert a.store()["problem"].startswith(f"127.0.0.1:{port}: it cannot be reached")
        store = servers.Redis(tmp_path, port)
        try:
            store.start()
            a.wait_for_store(1)
            eventually(lambda: store.client.keys("*:c:*"), "counts in the store")
        finally:
            store.kill()


def test_a_node_that_started_alone_joins_those_who_did_not(tmp_path: Path, policy: Path) -> None:
    """It hashes by a key of its own until it finds theirs."""
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}"
    with servers.node(policy, tmp_path / "a", url, "--redis-wait-seconds", "0.2") as a:
        store = servers.Redis(tmp_path, port)
        try:
            store.start().client.set("{ratelimitd}:key", b"k" * 16, px=60_000)
            a.wait_for_store(1)
            assert (
                len(a.events("the cluster hashes by another key: what this node counted until now is lost to it")) == 1
            )
            with servers.node(policy, tmp_path / "b", url) as b:
                b.wait_for_store(2)
                assert a.ask(200) == 200
                servers.settle()
                b.ask()
                eventually(lambda: b.used("per-ip", IP) == 201, "b knows")
        finally:
            store.kill()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [(("--requirepass", "secret"), "auth"), (("--maxmemory", "1", "--maxmemory-policy", "noeviction"), "memory")],
)
def test_a_store_that_refuses(tmp_path: Path, policy: Path, arguments: tuple[str, ...], kind: str) -> None:
    with (
        servers.single(tmp_path, *arguments) as store,
        servers.node(policy, tmp_path / "a", f"redis://{store.name}") as a,
    ):
        assert a.ask(10) == 10
        eventually(lambda: a.metric(f'ratelimitd_store_errors_total{{kind="{kind}"}}') > 0, kind)
        assert a.ask(10) == 10
        eventually(lambda: a.get("/readyz")["status"] == "degraded", "a says so")
        names = ("a master of the store fails: checks go on", "the store cannot be used: checks go on")
        assert kind in [event["kind"] for name in names for event in a.events(name)]


def test_tls_and_acl(tmp_path: Path, policy: Path) -> None:
    servers.make_certificates(tmp_path)
    (tmp_path / "users.acl").write_text(f"user default off\nuser app on >pass%word {ACL}\n")
    port = servers.free_port()
    tls = (
        "--tls-port",
        str(port),
        "--tls-cert-file",
        "server.crt",
        "--tls-key-file",
        "server.key",
        "--tls-ca-cert-file",
        "ca.crt",
    )
    with servers.single(tmp_path, *tls, "--tls-auth-clients", "no", "--aclfile", "users.acl"):
        secret = tmp_path / "password"
        secret.write_text("pass%word\n")
        access = ("--redis-ca", str(tmp_path / "ca.crt"), "--redis-password-file", str(secret))
        with servers.node(policy, tmp_path / "a", f"rediss://app@127.0.0.1:{port}", *access) as a:
            a.wait_for_store(1)
            assert a.ask(100) == 100
            servers.settle()
            assert a.metric("ratelimitd_store_errors_total") == 0
        with servers.node(policy, tmp_path / "b", f"rediss://app@127.0.0.1:{port}", *access[2:]) as b:
            assert b.ask(10) == 10
            eventually(lambda: "TLS" in b.store()["problem"], "b says why")


@pytest.mark.parametrize("url", ["http://h", "redis://"])
def test_wrong_settings_end_the_start(policy: Path, url: str) -> None:
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--redis", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--redis" in done.stderr
