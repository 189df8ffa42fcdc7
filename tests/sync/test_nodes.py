"""Nodes that share one Redis, as whole processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.serving import eventually

from . import servers

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("nodes")]

POLICY = """\
version: 1
domain: shop
limits:
  per-ip: {key: client.ip, limit: 1000, window: 1h}
  fixed: {match: {path: /fixed}, key: client.ip, limit: 500, window: 1h, algorithm: fixed_window}
  leased: {match: {path: /leased}, key: client.ip, limit: 300, window: 1h, consistency: leased}
"""
# What docs/cluster.md tells to allow.
ACL = (
    "~{ratelimitd* +info +time +script|load +evalsha +hincrby +hget +hset +hdel +hmget +pttl +pexpire +pexpireat "
    "+zadd +zrem +zcard +zrange +zrevrange +zremrangebyscore +zrangebyscore +set +get +multi +exec +client|setname "
    "+cluster|slots"
)
FAILS = "a master of the store fails: checks go on"
ANSWERS = "a master of the store answers again"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def pair(
    redis_server: servers.Redis, policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[servers.Node]]:
    """Two for all tests of this file: each has a client of its own."""
    urls = dict.fromkeys("ab", f"redis://{redis_server.name}")
    with servers.nodes(policy, tmp_path_factory.mktemp("pair"), urls) as made:
        yield made


@pytest.fixture
def nodes(pair: list[servers.Node]) -> list[servers.Node]:
    """They are well, whatever became of the store before."""
    return [one.wait_for_store(2) for one in pair]


def test_two_nodes_admit_what_one_would(redis_server: servers.Redis, nodes: list[servers.Node]) -> None:
    a, b = nodes
    ip = "203.0.113.1"
    assert a.ask(600, ip=ip) == 600
    admitted = b.hear(601, ip=ip)
    admitted += b.ask(600, ip=ip)
    assert 300 <= admitted <= 400

    def rest() -> bool:  # near the limit b is careful until it has heard: a might be at it still
        nonlocal admitted
        admitted += b.ask(1, ip=ip)
        return admitted >= 400

    eventually(rest, "the rest passes")
    assert admitted + b.ask(20, ip=ip) == 400
    a.ask(ip=ip)
    eventually(lambda: a.used("per-ip", ip) >= 1000, "a knows")
    assert a.ask(50, ip=ip) == 0
    lives = {key: redis_server.client.pttl(key) for key in redis_server.client.keys("*")}
    assert all(life > 0 for life in lives.values()), lives


def test_a_leased_limit_is_never_over(redis_server: servers.Redis, nodes: list[servers.Node]) -> None:
    a, b = nodes
    passed = 0

    def spend() -> bool:
        nonlocal passed
        passed += a.ask(5, path="/leased", ip="203.0.113.2") + b.ask(2, path="/leased", ip="203.0.113.2")
        return passed >= 291

    eventually(spend, "what may pass passes")
    assert passed + sum(one.ask(50, path="/leased", ip="203.0.113.2") for one in nodes) <= 300
    assert redis_server.client.pttl(redis_server.client.keys("*:l:*")[0]) > 0


def test_a_restart_loses_nothing(redis_server: servers.Redis, policy: Path, tmp_path: Path) -> None:
    """SIGTERM flushes what was counted a moment ago; a node that starts finds it."""
    url, apart = f"redis://{redis_server.name}", ("--redis-prefix", "apart")
    ip = "203.0.113.3"
    with servers.node(policy, tmp_path / "a", url, *apart, "--sync-interval-ms", "5000") as a:
        a.wait_for_store(1)
        assert a.ask(700, ip=ip) == 700
        a.stop()
    with servers.node(policy, tmp_path / "b", url, *apart) as b:
        b.wait_for_store(1)
        b.ask(ip=ip)
        eventually(lambda: b.used("per-ip", ip) == 701, "b knows")
        assert b.ask(290, ip=ip) == 290
        eventually(lambda: b.ask(5, ip=ip) < 5, "the limit")
        assert b.used("per-ip", ip) == 1000


def test_a_store_that_forgets_is_told_again(
    redis_server: servers.Redis, nodes: list[servers.Node], policy: Path, tmp_path: Path
) -> None:
    a, b = nodes
    ip = "203.0.113.4"
    assert a.ask(300, ip=ip) == 300
    hits = 300 + b.hear(301, ip=ip)
    before = b.metric("ratelimitd_store_resyncs_total")
    # Who starts before the nodes have put their hash key back gives all another: it stays.
    key = redis_server.client.get("{ratelimitd}:key")
    with redis_server.client.pipeline() as both:
        both.flushall().set("{ratelimitd}:key", key).execute()
    redis_server.client.script_flush()
    eventually(lambda: b.metric("ratelimitd_store_resyncs_total") > before, "b noticed")
    with servers.node(policy, tmp_path / "c", f"redis://{redis_server.name}") as c:
        c.wait_for_store(3)
        hits += c.hear(hits, ip=ip)
        eventually(lambda: c.used("per-ip", ip) == hits, "c knows")
        c.stop()


def test_an_outage_loses_no_count(redis_server: servers.Redis, nodes: list[servers.Node]) -> None:
    a, b = nodes
    ip = "203.0.113.5"
    assert a.ask(100, ip=ip) == 100
    said = {event: len(a.events(event)) for event in (FAILS, ANSWERS)}
    redis_server.kill()
    eventually(lambda: not a.store()["ok"], "a noticed")
    assert (a.ask(100, ip=ip), b.ask(200, ip=ip)) == (100, 200)
    assert a.get("/readyz")["status"] == "degraded"
    redis_server.start()
    for one in nodes:
        one.wait_for_store(2)
    assert a.ask(ip=ip) == b.ask(ip=ip) == 1
    with suppress(AssertionError):
        eventually(lambda: [one.used("per-ip", ip) for one in nodes] == [402, 402], "both know all")
    assert [one.used("per-ip", ip) for one in nodes] == [402, 402]
    assert [event["kind"] for event in a.events(FAILS)[said[FAILS] :]] == ["connection"]
    assert len(a.events(ANSWERS)) == said[ANSWERS] + 1


def test_a_store_that_hangs_delays_no_check(redis_server: servers.Redis, nodes: list[servers.Node]) -> None:
    a, ip = nodes[0], "203.0.113.6"
    redis_server.signal(signal.SIGSTOP)
    try:
        assert a.ask(300, ip=ip) == 300
        eventually(lambda: a.store()["masters"][0]["trouble"] == "timeout", "a noticed")
        assert a.ask(300, ip=ip) == 300
    finally:
        redis_server.signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("settings", "undone", "kind"),
    [
        ({"requirepass": "secret"}, {"requirepass": ""}, "auth"),
        ({"maxmemory": "1", "maxmemory-policy": "noeviction"}, {"maxmemory": "0"}, "memory"),
    ],
)
def test_a_store_that_refuses(
    redis_server: servers.Redis,
    nodes: list[servers.Node],
    settings: dict[str, str],
    undone: dict[str, str],
    kind: str,
) -> None:
    """It did not before: a password that is changed, memory that is full."""
    a, ip = nodes[0], "203.0.113.7"
    with redis_server.client as client:
        for name, value in settings.items():
            client.config_set(name, value)
        try:
            client.execute_command("CLIENT KILL", "TYPE", "normal")
            assert a.ask(10, ip=ip) == 10
            eventually(lambda: a.metric(f'ratelimitd_store_errors_total{{kind="{kind}"}}') > 0, kind)
            eventually(lambda: kind in [event["kind"] for event in a.events(FAILS)], "a says so")
            assert a.ask(10, ip=ip) == 10
            eventually(lambda: a.get("/readyz")["status"] == "degraded", "a is not well")
        finally:
            for name, value in undone.items():
                client.config_set(name, value)


def test_no_store_at_start(tmp_path: Path, policy: Path) -> None:
    """The node starts alone, says so, and hashes by a key of its own until it finds that of those who did not."""
    port = servers.free_port()
    url = f"redis://127.0.0.1:{port}"
    with servers.node(policy, tmp_path / "a", url, "--redis-wait-seconds", "0.2") as a:
        assert a.ask(10) == 10
        assert a.get("/readyz")["status"] == "degraded"
        assert a.store()["problem"].startswith(f"127.0.0.1:{port}: it cannot be reached")
        store = servers.Redis(tmp_path, port)
        try:
            store.start().client.set("{ratelimitd}:key", b"k" * 16, px=60_000)
            a.wait_for_store(1)
            said = "the cluster hashes by another key: what this node counted until now is lost to it"
            assert len(a.events(said)) == 1
            with servers.node(policy, tmp_path / "b", url) as b:
                b.wait_for_store(2)
                assert a.ask(200) == 200
                b.hear(201)
        finally:
            store.kill()


def test_tls_and_acl(tmp_path: Path, policy: Path) -> None:
    servers.make_certificates(tmp_path)
    (tmp_path / "users.acl").write_text(f"user default off\nuser app on >pass%word {ACL}\n")
    port = servers.free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", "server.crt", "--tls-key-file", "server.key")
    tls += ("--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no")
    with servers.single(tmp_path, *tls, "--aclfile", "users.acl"):
        secret = tmp_path / "password"
        secret.write_text("pass%word\n")
        access = ("--redis-ca", str(tmp_path / "ca.crt"), "--redis-password-file", str(secret))
        with servers.node(policy, tmp_path / "a", f"rediss://app@127.0.0.1:{port}", *access) as a:
            a.wait_for_store(1)
            assert a.ask(100) == 100
            eventually(lambda: a.flushes() > 0, "a flush")
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
