"""A cluster of three masters and three replicas that goes through what clusters go through, while nodes are asked.

No check fails or waits; afterwards every node knows exactly what all were asked.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ratelimitd.commands.admin import Port
from ratelimitd.commands.admin import ask as ask_admin
from ratelimitd.sync.layout import Layout
from tests.e2e.serving import eventually

from . import servers
from .load import LEASED, POLICY, addresses, audit, load
from .proxy import Network, network

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]


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
def between(cluster: servers.RedisCluster) -> Iterator[Network]:
    """What the first of the nodes has between it and the cluster."""
    with network([server.port for server in cluster.servers]) as made:
        yield made


@pytest.fixture(scope="module")
def nodes(
    cluster: servers.RedisCluster, between: Network, policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[servers.Node]]:
    """Two, for all tests of this file: each has a net of its own."""
    urls = {"a": between.url, "b": cluster.url}
    with servers.nodes(policy, tmp_path_factory.mktemp("nodes"), urls) as made:
        for one in made:
            one.wait_for_store(2)
        yield made


def healthy(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    eventually(cluster.well, "three masters and their replicas", 30)
    for node in nodes:
        eventually(lambda n=node: n.store()["ok"], "a node that is well")


def masters(node: servers.Node) -> dict[str, dict[str, object]]:
    return {master["name"]: master for master in node.store()["masters"]}


def ban(node: servers.Node, key: str) -> None:
    where = [("penalty", "banned"), ("key", key), ("for", "1h")]
    assert ask_admin(Port(node.admin), "POST", "/bans", where)["banned"] is True


def banned(node: servers.Node) -> set[str]:
    return {row["key"] for row in ask_admin(Port(node.admin), "GET", "/bans")["bans"]}


def test_a_master_is_killed_and_its_replica_takes_over(
    cluster: servers.RedisCluster, nodes: list[servers.Node], policy: Path, tmp_path: Path
) -> None:
    """The one that keeps the bans: what it knew and what comes later holds on every node."""
    slot, (a, b) = Layout("ratelimitd").slot, nodes
    victim = cluster.owner(slot)
    ban(a, "10.9.0.1")
    eventually(lambda: banned(b) == {"10.9.0.1"}, "b knows")
    with load(nodes, 1) as asked:
        asked.fault()
        victim.kill()
        ban(a, "10.9.0.2")
        eventually(lambda: cluster.owner(slot) is not victim, "a new master")
        eventually(lambda: banned(b) == {"10.9.0.1", "10.9.0.2"}, "b knows of the ban after it")
        victim.start()
    healthy(cluster, nodes)
    audit(nodes, asked.sent)
    with servers.node(policy, tmp_path / "comer", cluster.url) as comer:
        eventually(lambda: banned(comer) == {"10.9.0.1", "10.9.0.2"}, "who comes knows both")


def test_a_master_hangs_and_wakes_up(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """It was replaced meanwhile, and hears so only after it has taken what was waiting in its sockets. The others are
    not held back by it.
    """
    victim, b = cluster.owner(8192), nodes[1]
    with load(nodes, 2) as asked:
        asked.fault()
        victim.signal(signal.SIGSTOP)
        try:
            eventually(lambda: not masters(b)[victim.name]["ok"], "b notices")
            assert all(one["ok"] for name, one in masters(b).items() if name != victim.name)
            servers.flushed(*nodes)
            eventually(lambda: cluster.owner(8192, besides=victim) is not victim, "a new master")
            eventually(lambda: victim.name not in masters(b), "b knows it")
            servers.flushed(*nodes)
        finally:
            victim.signal(signal.SIGCONT)
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


def test_a_master_is_cut_off_from_its_peers(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """Nodes still reach it, and it takes their counts until it finds itself alone. Its replica, which lacks these, is
    the master of the others.
    """
    victim = cluster.owner(0)
    with load(nodes, 3) as asked:
        asked.fault()
        victim.client.execute_command("ACL SETUSER", "default", "-psync", "-sync")
        victim.client.client_kill_filter(_type="replica")
        cluster.isolate(victim)
        eventually(lambda: cluster.owner(0, besides=victim) is not victim, "a new master")
        for node in nodes:
            eventually(lambda n=node: n.store()["ok"], "a node that is well without it")
        eventually(lambda: victim.name not in masters(nodes[1]), "b knows it")
        servers.flushed(*nodes)
        cluster.mend()
        victim.client.execute_command("ACL SETUSER", "default", "+@all")
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


def test_slots_move(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    """Slots of shards, keys and all, one after the other, as redis-cli --cluster reshard does it."""
    slots = Layout("ratelimitd").slots
    source, target = cluster.owner(0), cluster.owner(16383)
    moving = [slot for slot in slots if cluster.owner(slot) is source][:8]
    with load(nodes, 4) as asked:
        asked.fault()
        for slot in moving:
            move(slot, source, target)
    healthy(cluster, nodes)
    audit(nodes, asked.sent)
    assert all(cluster.owner(slot) is target for slot in moving)


def move(slot: int, source: servers.Redis, target: servers.Redis) -> None:
    here, there = source.client, target.client
    source_id, target_id = (client.execute_command("CLUSTER MYID").decode() for client in (here, there))
    there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
    here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
    while keys := here.execute_command("CLUSTER GETKEYSINSLOT", slot, 10):
        here.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for client in (there, here):
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)


def test_data_and_scripts_are_flushed(cluster: servers.RedisCluster, nodes: list[servers.Node]) -> None:
    with load(nodes, 5) as asked:
        asked.fault()
        for _ in range(3):
            cluster.flush_all()
            for server in cluster.servers:
                server.client.script_flush()
            servers.flushed(*nodes)
    healthy(cluster, nodes)
    audit(nodes, asked.sent)


def test_a_node_is_cut_off(cluster: servers.RedisCluster, between: Network, nodes: list[servers.Node]) -> None:
    """From all masters: silently, for long; then its connections end in the middle of flushes, again and again."""
    a, b = nodes
    with load(nodes, 6) as asked:
        asked.fault()
        between.cut()
        eventually(lambda: a.store()["lost_shards"] == 128, "a notices")
        assert b.store()["ok"]
        eventually(lambda: len(b.store()["nodes"]) == 1, "b is alone")
        between.mend()
        for _ in range(10):
            between.reset()
            servers.flushed(b, times=1)
    for one in nodes:
        one.wait_for_store(2)
    audit(nodes, asked.sent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_node_goes_and_another_comes(
    cluster: servers.RedisCluster, nodes: list[servers.Node], policy: Path, tmp_path: Path, number: int
) -> None:
    """A killed one loses what it had not flushed, so it is let flush; SIGTERM flushes at once."""
    a, net = nodes[0], 7 if number == signal.SIGTERM else 8
    urls = {"leaver": cluster.url, "comer": cluster.url}
    with servers.nodes(policy, tmp_path, urls) as (leaver, comer):
        for one in (leaver, comer):
            eventually(lambda n=one: n.store()["ok"], "a node that shares")
        with load([a, leaver], net) as asked:
            servers.flushed(a, leaver)
        if number == signal.SIGKILL:
            audit([a], asked.sent)
        leaver.process.send_signal(number)
        leaver.process.wait(10)
        with load([a, comer], net) as more:
            more.fault()
        audit([a, comer], asked.sent + more.sent)


def test_sentinels_name_another_master(tmp_path: Path, policy: Path) -> None:
    """The new one lacks what was not yet replicated, and goes by the same name."""
    with ExitStack() as stack:
        store = stack.enter_context(servers.watched(tmp_path))
        nodes = stack.enter_context(servers.nodes(policy, tmp_path, dict.fromkeys("ab", store.url)))
        for one in nodes:
            one.wait_for_store(2)
            assert one.store()["mode"] == "sentinel"
        first, second = store.servers
        with load(nodes) as asked:
            asked.fault()
            first.client.execute_command("ACL SETUSER", "default", "-psync", "-sync")
            first.client.client_kill_filter(_type="replica")
            once = Counter({key: nodes[0].ask(ip=key) for key in addresses(1)})  # and never there again
            servers.flushed(*nodes)
            first.kill()
            eventually(lambda: store.master is second, "a new master", 30)
            for one in nodes:
                eventually(lambda n=one: n.store()["ok"], "a node that is well")
        audit(nodes, asked.sent)
        audit(nodes[1:], once)


@pytest.mark.parametrize("fault", ["a master is killed", "a node is cut off"])
def test_leases_are_never_over(
    cluster: servers.RedisCluster, between: Network, nodes: list[servers.Node], fault: str
) -> None:
    """Neither while a node spends what it was granted and hears nothing, nor after. What may pass passes in the end."""
    net = 9 if fault.startswith("a node") else 10
    with load(nodes, net, "/leased", keys=12) as asked:
        if fault == "a node is cut off":
            asked.fault()
            between.cut()
            eventually(lambda: nodes[0].store()["lost_shards"] == 128, "a notices")
            between.mend()
        else:
            asked.fault()
            victim = next(one for one in map(cluster.owner, (0, 8192, 16383)) if one.client.keys("*}:l:*"))
            victim.kill()
            eventually(lambda: victim.name not in masters(nodes[1]), "b knows the new master")
            victim.start()
        eventually(lambda: min(asked.passed.values()) >= LEASED * 0.97, "what may pass has passed")
        servers.flushed(*nodes, times=6)
    healthy(cluster, nodes)
    assert max(asked.passed.values()) <= LEASED
