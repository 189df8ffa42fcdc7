"""Real stores and real nodes on free ports of 127.0.0.1: a Redis, a cluster of three masters and three replicas, a
master behind Sentinels.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from ratelimitd.client import Client
from ratelimitd.client.request import Request
from tests.e2e.serving import eventually, running, wait_for_line

NOTHING_KEPT = ("--save", "", "--appendonly", "no")
SLOTS = 16384


def free_port() -> int:
    """Below 55536, so that a cluster's bus port is one as well."""
    while True:
        with socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            try:
                bus.bind(("127.0.0.1", port + 10_000))
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

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=10)

    def start(self) -> Redis:
        command = ["redis-server"] if self.configuration is None else ["redis-server", str(self.configuration)]
        command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), *self.arguments]
        if self.configuration is None:
            command += NOTHING_KEPT
        with (self.directory / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
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
    """Three masters first, then their replicas, in the same order."""

    servers: list[Redis]

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

    def flush_all(self) -> None:
        for server in self.servers:
            if server.client.info("replication")["role"] == "master":
                server.client.flushall()


@contextmanager
def cluster(directory: Path) -> Iterator[RedisCluster]:
    """Fails over within a second or two."""
    with ExitStack() as stack:
        servers = []
        for _ in range(6):
            port = free_port()
            arguments = ("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf")
            arguments += ("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
            server = Redis(directory, port, (*arguments, "--cluster-replica-validity-factor", "0"))
            stack.callback(server.kill)
            servers.append(server.start())
        names = [server.name for server in servers]
        command = ["redis-cli", "--cluster", "create", *names, "--cluster-replicas", "1", "--cluster-yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        for server in servers:
            eventually(partial(_well, server), "the cluster")
        yield RedisCluster(servers)


def _well(server: Redis) -> bool:
    """It sees the whole cluster, and is in step with its master."""
    return in_step(server) and server.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"


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

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def store(self) -> dict[str, Any]:
        detail: dict[str, Any] = self.get("/readyz")["store"]
        return detail

    def wait_for_store(self, nodes: int) -> Node:
        eventually(lambda: self.store()["ok"] and len(self.store()["nodes"]) == nodes, f"{nodes} nodes that share", 15)
        return self

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0


@contextmanager
def node(policy: Path, log: Path, url: str, *arguments: str) -> Iterator[Node]:
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--listen", "127.0.0.1:0"]
    command += ["--admin", "127.0.0.1:0", "--workers", "1", "--max-keys", "10000", "--drain-seconds", "1"]
    with running([*command, "--redis", url, *arguments], log) as process:
        found = wait_for_line(process, log, r"ratelimitd ready: grpc 127\.0\.0\.1:(\d+), admin (127\.0\.0\.1:\d+),")
        out = Node(process, log, int(found[1]), found[2])
        try:
            yield out
        finally:
            for client in out.clients:
                client.close()


def settle(seconds: float = 0.35) -> None:
    """Three intervals: what was counted is known to all."""
    time.sleep(seconds)


def make_certificates(directory: Path) -> None:
    """ca.crt, and server.crt with server.key for 127.0.0.1."""
    subject = ["-subj", "/CN=test", "-days", "2", "-newkey", "rsa:2048", "-nodes"]
    ca = ["openssl", "req", "-x509", *subject, "-keyout", "ca.key", "-out", "ca.crt"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    server = ["openssl", "req", "-x509", *subject, "-keyout", "server.key", "-out", "server.crt", *signed]
    for command in (ca, server):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
