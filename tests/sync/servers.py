"""Real stores and real nodes on free ports of 127.0.0.1: a Redis, a cluster of three masters and three replicas, a
master behind Sentinels.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ratelimitd.client import Client
from ratelimitd.client.request import Request
from tests.e2e.serving import eventually, running, wait_for_line

from .proxy import Proxy, proxy

NOTHING_KEPT = ("--save", "", "--appendonly", "no")
SLOTS = 16384
BUS = 10_000  # above a server's port


def free_port() -> int:
    """Below 55536, so that a cluster's bus port is one as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            try:
                bus.bind(("127.0.0.1", port + BUS))
            except (OSError, OverflowError):
                continue
            return port


@dataclass
class Redis:
    """A redis-server."""

    directory: Path
    port: int
    arguments: tuple[str, ...] = ()
    configuration: Path | None = None  # a Sentinel's: it writes it itself
    process: subprocess.Popen[bytes] | None = None
    source: str = ""  # the address from which it calls others

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=10)

    def start(self) -> Redis:
        self.launch()
        return self.wait()

    def launch(self) -> None:
        command = ["redis-server"] if self.configuration is None else ["redis-server", str(self.configuration)]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), *self.arguments]
        if self.configuration is None:
            command += NOTHING_KEPT
        with (self.directory / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> Redis:
        eventually(self._answers, f"redis {self.port}")
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def single(directory: Path, *arguments: str) -> Iterator[Redis]:
    server = Redis(directory, free_port(), arguments)
    try:
        yield server.start()
    finally:
        server.kill()


@dataclass
class RedisCluster:
    """Three masters first, then their replicas, in the same order. Each calls the others from an address of its own,
    and is called through a proxy: `buses`.
    """

    servers: list[Redis]
    buses: list[Proxy]

    @property
    def url(self) -> str:
        return "redis://" + ",".join(server.name for server in self.servers)

    def owner(self, slot: int, *, besides: Redis | None = None) -> Redis:
        """Who has the slot now, by any that answers; `besides`: who is not asked."""
        for server in self.servers:
            if server is besides:
                continue
            try:
                ranges = server.client.execute_command("CLUSTER SLOTS")
            except redis.RedisError:
                continue
            for first, last, (_, port, *_), *_ in ranges:
                if first <= slot <= last:
                    return next(s for s in self.servers if s.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def replica(self, master: Redis) -> Redis:
        for server in self.servers:
            info = server.client.info("replication")
            if info["role"] == "slave" and info["master_port"] == master.port:
                return server
        raise AssertionError(f"{master.name} has no replica")

    def isolate(self, server: Redis) -> None:
        """Its peers hear nothing of it any more, nor it of them. Clients go on talking to all of them."""
        for other, bus in zip(self.servers, self.buses, strict=True):
            bus.cut("" if other is server else server.source)

    def mend(self) -> None:
        for bus in self.buses:
            bus.mend()

    def flush_all(self) -> None:
        for server in self.servers:
            if server.client.info("replication")["role"] == "master":
                server.client.flushall()

    def well(self) -> bool:
        """Every slot has a master, every master a replica in step, and all of them know it."""
        try:
            roles = [server.client.info("replication")["role"] for server in self.servers]
            return roles.count("master") == 3 and all(_well(server) for server in self.servers)
        except redis.RedisError:
            return False


@contextmanager
def cluster(directory: Path) -> Iterator[RedisCluster]:
    """Fails over within a second or two. Not by redis-cli --cluster create, which sleeps for seconds."""
    with ExitStack() as stack:
        servers, buses = [], []
        for number in range(6):
            port = free_port()
            buses.append(stack.enter_context(proxy(port + BUS)))
            source = f"127.0.0.{number + 2}"
            arguments = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf")
            arguments += ("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
            arguments += ("--cluster-replica-validity-factor", "0", "--bind-source-addr", source)
            arguments += ("--cluster-announce-ip", "127.0.0.1", "--cluster-announce-bus-port", str(buses[-1].port))
            arguments += ("--repl-diskless-sync-delay", "0", "--protected-mode", "no")  # which knows 127.0.0.1 only
            server = Redis(directory, port, arguments, source=source)
            stack.callback(server.kill)
            servers.append(server)
        for server in servers:
            server.launch()
        for number, server in enumerate(servers):
            server.wait()
            server.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for number, server in enumerate(servers[:3]):
            server.client.execute_command("CLUSTER ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
        for server in servers:
            for other, bus in zip(servers, buses, strict=True):
                if other is not server:
                    server.client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, bus.port)
        for master, replica in zip(servers[:3], servers[3:], strict=True):
            name = master.client.execute_command("CLUSTER MYID").decode()
            eventually(partial(_follows, replica, name), "a replica that knows its master")
        made = RedisCluster(servers, buses)
        eventually(made.well, "the cluster")
        yield made


def _follows(replica: Redis, master: str) -> bool:
    try:
        replica.client.execute_command("CLUSTER REPLICATE", master)
    except redis.ResponseError:  # it has not heard of it yet
        return False
    return True


def _well(server: Redis) -> bool:
    """It sees the whole cluster, and is in step with its master."""
    info = server.client.execute_command("CLUSTER INFO")
    return in_step(server) and info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS)


def in_step(server: Redis) -> bool:
    info = server.client.info("replication")
    return bool(info["role"] == "master" or info["master_link_status"] == "up")


@dataclass
class Watched:
    """A master and its replica, and three Sentinels that make the replica the master when it is gone."""

    servers: list[Redis]
    sentinels: list[Redis]

    @property
    def url(self) -> str:
        return "redis://" + ",".join(sentinel.name for sentinel in self.sentinels)

    @property
    def master(self) -> Redis:
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name("counts")
        return next(server for server in self.servers if server.port == port)


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        master = stack.enter_context(single(directory))
        replica = stack.enter_context(single(directory, "--replicaof", "127.0.0.1", str(master.port)))
        sentinels = []
        for number in range(3):
            file = directory / f"sentinel-{number}.conf"
            file.write_text(
                f"sentinel monitor counts 127.0.0.1 {master.port} 2\n"
                "sentinel down-after-milliseconds counts 500\n"
                "sentinel failover-timeout counts 3000\n"
            )
            sentinels.append(Redis(directory, free_port(), ("--sentinel",), file))
            stack.callback(sentinels[-1].kill)
            sentinels[-1].start()
        eventually(lambda: in_step(replica), "a replica in step")
        for one in sentinels:
            eventually(partial(_sees_all, one), "Sentinels that know each other")
        yield Watched([master, replica], sentinels)


def _sees_all(sentinel: Redis) -> bool:
    others, replicas = sentinel.client.sentinel_sentinels("counts"), sentinel.client.sentinel_slaves("counts")
    return (len(others), len(replicas)) == (2, 1)


@dataclass
class Node:
    """A ratelimitd that shares its counts."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    admin: str
    clients: list[Client] = field(default_factory=list)

    @property
    def client(self) -> Client:
        if not self.clients:
            self.clients.append(Client(f"127.0.0.1:{self.port}"))
        return self.clients[0]

    def ask(self, count: int = 1, *, path: str = "/", ip: str = "203.0.113.7") -> int:
        """How many of so many checks pass."""
        request = Request(path=path, source_address=ip)
        return sum(self.client.check(request).allowed for _ in range(count))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as answer:
            return json.load(answer)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((name + " ", name + "{")))

    def used(self, limit: str, *key: str) -> int:
        """Hits that this node knows of; 0 for an unknown key."""
        query = "".join(f"&key={part}" for part in key)
        try:
            return int(self.get(f"/keys?domain=shop&limit={limit}{query}")["counter"]["used"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return 0

    def hear(self, hits: int, *, ip: str = "203.0.113.7") -> int:
        """Asks until it knows of so many, of per-ip. How many passed."""
        passed = 0

        def heard() -> bool:
            nonlocal passed
            passed += self.ask(ip=ip)
            return self.used("per-ip", ip) >= hits

        eventually(heard, f"a node that knows of {hits} hits")
        return passed

    def flushes(self) -> int:
        return int(self.metric("ratelimitd_store_flush_seconds_count"))

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def store(self) -> dict[str, Any]:
        detail: dict[str, Any] = self.get("/readyz")["store"]
        return detail

    def wait_for_store(self, nodes: int) -> Node:
        eventually(lambda: self._shares(nodes), f"{nodes} nodes that share", 20)
        return self

    def _shares(self, nodes: int) -> bool:
        store = self.store()
        return bool(store["ok"]) and len(store["nodes"]) == nodes

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0


@contextmanager
def nodes(policy: Path, directory: Path, urls: Mapping[str, str], *arguments: str) -> Iterator[list[Node]]:
    """One for each of `urls`, by the names of their logs. They start at once."""
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--listen", "127.0.0.1:0"]
    command += ["--admin", "127.0.0.1:0", "--workers", "1", "--max-keys", "10000", "--drain-seconds", "1"]
    made: list[Node] = []
    with ExitStack() as stack:
        started = []
        for name, url in urls.items():
            log = directory / name
            started.append((stack.enter_context(running([*command, "--redis", url, *arguments], log)), log))
        for process, log in started:
            found = wait_for_line(process, log, r"ratelimitd ready: grpc 127\.0\.0\.1:(\d+), admin (127\.0\.0\.1:\d+),")
            made.append(Node(process, log, int(found[1]), found[2]))
        try:
            yield made
        finally:
            for one in made:
                for client in one.clients:
                    client.close()
                one.process.terminate()


@contextmanager
def node(policy: Path, log: Path, url: str, *arguments: str) -> Iterator[Node]:
    with nodes(policy, log.parent, {log.name: url}, *arguments) as (made,):
        yield made


def flushed(*nodes: Node, times: int = 3) -> None:
    """Waits until each of them, under load, has told so many more masters what it counted, and heard of others."""
    for one, before in [(one, one.flushes()) for one in nodes]:
        eventually(lambda n=one, b=before: n.flushes() >= b + times, "a node that flushes")


def make_certificates(directory: Path) -> None:
    """ca.crt, and server.crt with server.key for 127.0.0.1."""
    subject = ["-subj", "/CN=test", "-days", "2", "-newkey", "rsa:2048", "-nodes"]
    ca = ["openssl", "req", "-x509", *subject, "-keyout", "ca.key", "-out", "ca.crt"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    server = ["openssl", "req", "-x509", *subject, "-keyout", "server.key", "-out", "server.crt", *signed]
    for command in (ca, server):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
