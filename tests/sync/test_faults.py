"""A cluster of three masters and three replicas that goes through what clusters go through, while nodes are asked.

No check fails or waits; afterwards every node knows exactly what all were asked.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from ratelimitd.sync.layout import Layout
from tests.e2e.serving import eventually

from . import servers
from .load import POLICY, addresses, audit, load
from .proxy import proxy

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisCluster]:
    with servers.cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="module")
def nodes(
    cluster: servers.RedisCluster, policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[servers.Node]]:
    """Two, for all tests of this file: each has a net of its own."""
    logs = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        made = [stack.enter_context(servers.node(policy, logs / name, cluster.url)) for name in ("a", "b")]
        for one in made:
            one.wait_for_store(2)
        yield made


def pause(seconds: float = 0.5) -> None:
    """Some intervals under load."""
    time.sleep(seconds)


def healthy(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """Every slot has a master again, every master a replica in step, and the nodes know it."""

    def state() -> bool:
        try:
            roles = [server.client.info("replication") for server in cluster.servers]
        except redis.RedisError:
            return False
        masters = [info for info in roles if info["role"] == "master"]
        return len(masters) == 3 and all(
            info["role"] == "master" or info["master_link_status"] == "up" for info in roles
        )

    eventually(state, "three masters and their replicas", 30)
    for node in nodes:
        eventually(lambda n=node: n.store()["ok"], "a node that is well", 20)


def test_a_master_is_killed_and_its_replica_takes_over(
    cluster: servers.RedisCluster, nodes: list[servers.Node]
) -> None:
    victim = cluster.owner(0)
    with load(nodes, 1) as asked:
        pause()
        victim.kill()
        eventually(lambda: cluster.owner(0) is not victim, "a new master")
        pause()
        victim.start()
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


def test_a_master_hangs_and_wakes_up(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """It was replaced meanwhile, and hears so only after it has taken what was waiting in its sockets."""
    victim = cluster.owner(8192)
    with load(nodes, 2) as asked:
        pause()
        victim.signal(signal.SIGSTOP)
        try:
            eventually(lambda: cluster.owner(8192, besides=victim) is not victim, "a new master")
            pause()
        finally:
            victim.signal(signal.SIGCONT)
        pause()
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


def test_slots_move(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """Slots of shards, keys and all, one after the other, as redis-cli --cluster reshard does it."""
    slots = Layout("ratelimitd").slots
    source, target = cluster.owner(0), cluster.owner(16383)
    moving = [slot for slot in slots if cluster.owner(slot) is source][:8]
    with load(nodes, 3) as asked:
        pause()
        for slot in moving:
            move(cluster, slot, source, target)
        pause()
    healthy(cluster, nodes)
    audit(nodes, asked.sent)
    assert all(cluster.owner(slot) is target for slot in moving)


def move(cluster: servers.RedisCluster, slot: int, source: servers.Redis, target: servers.Redis) -> None:
    here, there = source.client, target.client
    source_id, target_id = (client.execute_command("CLUSTER MYID").decode() for client in (here, there))
    there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
    here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
    while keys := here.execute_command("CLUSTER GETKEYSINSLOT", slot, 10):
        here.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for client in (there, here):
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)


def test_data_and_scripts_are_flushed(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    with load(nodes, 4) as asked:
        pause()
        for _ in range(3):
            cluster.flush_all()
            for server in cluster.servers:
                server.client.script_flush()
            pause(0.3)
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_node_goes_and_another_comes(
    cluster: servers.RedisCluster, nodes: list[servers.Node], policy: Path, tmp_path: Path, number: int
) -> None:
    """A killed one loses what it had not flushed, so it is let flush; SIGTERM flushes at once."""
    a, net = nodes[0], 5 if number == signal.SIGTERM else 6
    with servers.node(policy, tmp_path / "leaver", cluster.url) as leaver:
        leaver.wait_for_store(len(nodes) + 1)
        with load([a, leaver], net) as asked:
            pause()
        if number == signal.SIGKILL:
            servers.settle()
        leaver.process.send_signal(number)
        leaver.process.wait(10)
    with servers.node(policy, tmp_path / "comer", cluster.url) as comer:
        with load([a, comer], net) as more:
            pause()
        audit([a, comer], asked.sent + more.sent)
        comer.wait_for_store(len(nodes) + 1)


def test_a_node_is_cut_off(tmp_path: Path, policy: Path) -> None:
    """Silently, for long; then its connections end in the middle of flushes, again and again."""
    with ExitStack() as stack:
        store = stack.enter_context(servers.single(tmp_path))
        between = stack.enter_context(proxy(store.port))
        a = stack.enter_context(servers.node(policy, tmp_path / "a", f"redis://127.0.0.1:{between.port}"))
        b = stack.enter_context(servers.node(policy, tmp_path / "b", f"redis://{store.name}"))
        for one in (a, b):
            one.wait_for_store(2)
        with load([a, b]) as asked:
            pause()
            between.cut()
            eventually(lambda: not a.store()["ok"], "a notices")
            assert b.store()["ok"]
            between.mend()
            for _ in range(20):
                between.reset()
                pause(0.05)
        for one in (a, b):
            one.wait_for_store(2)
        audit([a, b], asked.sent)


def test_sentinels_name_another_master(tmp_path: Path, policy: Path) -> None:
    """The new one lacks what was not yet replicated, and goes by the same name."""
    with ExitStack() as stack:
        store = stack.enter_context(servers.watched(tmp_path))
        nodes = [stack.enter_context(servers.node(policy, tmp_path / name, store.url)) for name in ("a", "b")]
        for one in nodes:
            one.wait_for_store(2)
            assert one.store()["mode"] == "sentinel"
        first, second = store.servers
        with load(nodes) as asked:
            pause()
            first.client.execute_command("ACL SETUSER", "default", "-psync", "-sync")
            first.client.client_kill_filter(_type="replica")
            once = Counter({key: nodes[0].ask(ip=key) for key in addresses(1)})  # and never there again
            pause()
            first.kill()
            eventually(lambda: store.master is second, "a new master", 30)
            pause()
        for one in nodes:
            eventually(lambda n=one: n.store()["ok"], "a node that is well")
        audit(nodes, asked.sent)
        audit(nodes[1:], once)
