"""What the cluster costs: the exchange of counts with three masters, on both sides and in checks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import redis

from . import scenarios
from .bench import Bench
from .servers import ROOT, BenchError, Server, cpu_seconds, on_cores

KEYS = 20_000  # dirty in each interval of 100 ms
UPDATES = 200_000  # a second
MASTERS = 3
LONG_SECONDS = 30


@dataclass(frozen=True)
class Spent:
    """Work done, over wall seconds and CPU-seconds: ours and of each master."""

    count: int
    seconds: float
    cpu_seconds: float
    masters: Sequence[float]
    decision_ns: float = 0.0  # of a check in process

    @property
    def decisions(self) -> float:
        """Of one CPU-second that all share, in which KEYS counters are exchanged ten times, and the rest is checks."""
        exchanged = (self.cpu_seconds + sum(self.masters)) / self.count * UPDATES
        return (1 - exchanged) / self.decision_ns * 1e9

    @property
    def per_cpu_second(self) -> float:
        """Of all who took part."""
        return self.count / max(self.cpu_seconds + sum(self.masters), 1e-9)


class Store:
    """Three masters without replicas, on the cores of the load."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self.ports = [free_port() for _ in range(MASTERS)]
        self.pids = [self._start(bench, stack, port) for port in self.ports]
        self.url = "redis://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)
        names = [f"127.0.0.1:{port}" for port in self.ports]
        run(["redis-cli", "--cluster", "create", *names, "--cluster-yes"])
        for port in self.ports:
            client = redis.Redis(port=port)
            wait(lambda client=client: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster")

    def _start(self, bench: Bench, stack: ExitStack, port: int) -> int:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(bench.directory)]
        command += ["--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf", "--save", ""]
        try:
            process = subprocess.Popen(on_cores(bench.cores.load, command), stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            raise BenchError("no redis-server: apt-get install redis-server") from None
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait(lambda: answers(port), f"redis-server {port}")
        return process.pid

    def cpu_seconds(self) -> list[float]:
        return [cpu_seconds(pid) for pid in self.pids]


def exchange(bench: Bench, store: Store, *, flat_out: bool = False) -> Spent:
    """KEYS dirty counters ten times a second, or as often as it goes, in a process that makes no checks."""
    bench.say("exchanging counts" + (" flat out" if flat_out else ""))
    policy = bench.paths["client"]
    command = [sys.executable, "-m", "benchmarks.exchange", str(policy), store.url, "--keys", str(KEYS)]
    command += ["--seconds", str(bench.seconds), *(["--flat-out"] if flat_out else [])]
    command += [part for pid in store.pids for part in ("--pid", str(pid))]
    out = json.loads(run(on_cores(bench.cores.server, command)))
    return Spent(out["records"], out["seconds"], out["cpu_seconds"], out["masters"], out["decision_ns"])


@dataclass(frozen=True)
class Served:
    """Checks with a store or without: what was spent by whom."""

    spent: Spent
    control_seconds: float  # of the thread that flushes

    @property
    def per_worker_second(self) -> float:
        """Checks over the CPU-seconds of the threads that answer."""
        return self.spent.count / max(self.spent.cpu_seconds - self.control_seconds, 1e-9)


def serve(bench: Bench, server: Server, store: Store) -> Served:
    before, control = store.cpu_seconds(), cpu_seconds(server.process.pid, server.process.pid)
    report = bench.load_on(server, vary=[bench.request.client_at], keys=KEYS, connections=8, streams=32).throughput
    control = cpu_seconds(server.process.pid, server.process.pid) - control
    masters = [after - was for after, was in zip(store.cpu_seconds(), before, strict=True)]
    return Served(Spent(report.requests, report.seconds, report.cpu_seconds, masters), control)


def write_policy(bench: Bench) -> None:
    limit = {"per-ip": scenarios.matching_limits()["per-ip"]}
    bench.paths["client"] = scenarios.write_policy(scenarios.policy(limit), bench.directory / "client.yaml")


def start_shared(bench: Bench, url: str, name: str = "shared", extra: Sequence[str] = ()) -> Server:
    server = bench.start_ratelimitd("client", name, extra=["--redis", url, *extra])
    wait(lambda: server.logged("the store is there"), "a node that shares")
    return server


def serving(bench: Bench, store: Store) -> tuple[list[Served], list[Served]]:
    """Turns of a node with the store and of one without."""
    with ExitStack() as stack:
        shared = stack.enter_context(start_shared(bench, store.url))
        alone = stack.enter_context(bench.start_ratelimitd("client", "alone"))
        serve(bench, shared, store)
        pairs = [(serve(bench, shared, store), serve(bench, alone, store)) for _ in range(bench.repeats)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def free_port() -> int:
    """Below 55536: a cluster's bus has the port 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < 55_536:
                return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(ready: Any, what: str) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {LONG_SECONDS} s")
        time.sleep(0.02)


def run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_SECONDS * 4, cwd=ROOT)
    if done.returncode:
        raise BenchError(f"{' '.join(command[:6])}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout
