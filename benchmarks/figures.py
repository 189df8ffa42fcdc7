"""The figures: what is measured, how, and what it must be. Each group is a function from a Bench to its figures.

Machines are noisy, so servers that are compared run side by side and take turns (A B A B ...). A figure is the median
over the turns, a ratio the median of each turn's ratio.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cluster, edge, rivals
from .bench import Bench
from .doors import ask_auth, ask_rate_limit, median_rate
from .servers import ROOT, BenchError, Cores, Server, grpcio_command
from .tls import plain_and_tls
from .waf import OURS, Turn, bounds, engines, over_grpc, turn
from .waf_requests import requests

FEW_KEYS = 10_000
WAF_AT_MOST = {"GET, 2 arguments": 60, "form, 900 bytes": 100}  # us
WAF_GROWTH = 1.5  # a byte of 128 KB over one of 16 KB
WAF_HOSTILE = 20
WAF_PROFILE_KB = 1024
WAF_TIMES = {"libmodsecurity": 30, "Coraza": 10, "Coraza, prefilter": 10}


@dataclass(frozen=True)
class Figure:
    """One row of the table. `at_least` and `at_most` bound a good one; with neither it is for reading only."""

    name: str
    actual: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""

    @property
    def ok(self) -> bool | None:
        if self.at_least is not None:
            return self.actual >= self.at_least
        return None if self.at_most is None else self.actual <= self.at_most


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def throughput(bench: Bench) -> Iterator[Figure]:
    """Checks per CPU-second, against the floor and grpcio.aio, and what limits and rules cost."""
    with ExitStack() as stack:
        ours = ("limits10k", "rules50", "buckets20", "limits20")
        servers = {name: stack.enter_context(bench.start_ratelimitd(name)) for name in ours}
        servers["floor"] = stack.enter_context(bench.start_floor())
        servers["grpcio"] = stack.enter_context(bench.start("grpcio", grpcio_command()))
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(bench.repeats):
            for name, server in servers.items():
                rates[name].append(bench.h2load(server).per_cpu_second)
    base, unit = rates["limits20"], "/CPU-s"
    yield Figure("checks, 20 limits, 3 match", statistics.median(base), unit, at_least=200_000)
    yield Figure("floor: bare nghttp2 echo", statistics.median(rates["floor"]), unit)
    yield Figure("peer: grpcio.aio", statistics.median(rates["grpcio"]), unit)
    yield Figure("20 limits / floor", median_ratio(base, rates["floor"]), at_least=0.5)
    yield Figure("20 limits / grpcio.aio", median_ratio(base, rates["grpcio"]), at_least=40)
    yield Figure("checks, 50 pattern rules", statistics.median(rates["rules50"]), unit, at_least=120_000)
    yield Figure("50 pattern rules / none", median_ratio(rates["rules50"], base))
    yield Figure("checks, 10,000 limits", statistics.median(rates["limits10k"]), unit)
    yield Figure("10,000 limits / 20 limits", median_ratio(rates["limits10k"], base), at_least=0.8)
    yield Figure("checks, token buckets", statistics.median(rates["buckets20"]), unit)
    yield Figure("token buckets / sliding windows", median_ratio(rates["buckets20"], base))


# The load of everything about latency.
ONE_EACH = {"connections": 8, "streams": 1, "warm_up": 0.2}
# Where a p99 counts, so many short runs for each of the other figures': one stall of the machine (4 ms: a tick) spoils
# the p99 of the run that it hits, the floor's as ours, and the median must not be such a run.
TAIL_RUNS = 3


def latency(bench: Bench) -> Iterator[Figure]:
    """8 connections of one stream each: p50 against the floor's, and p99 at half of what the server can do that way."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench.start_ratelimitd("limits20"))
        floor = stack.enter_context(bench.start_floor())
        p50: dict[str, list[float]] = {ours.name: [], floor.name: []}
        p99: list[float] = []
        floor_p99: list[float] = []
        half = bench.load_on(ours, **ONE_EACH).throughput.per_second / 2
        for _ in range(bench.repeats):
            for server in (ours, floor):
                report = bench.load_on(server, **ONE_EACH)
                p50[server.name].append(report.latency_us["p50"])
        for _ in range(TAIL_RUNS * bench.repeats):
            for server, into in ((ours, p99), (floor, floor_p99)):
                into.append(bench.load_on(server, **ONE_EACH, rate=half).latency_us["p99"])
    yield Figure("p50, 8 connections x 1 stream", statistics.median(p50[ours.name]), "us")
    yield Figure("p50 of the floor", statistics.median(p50[floor.name]), "us")
    yield Figure("p50 / floor's p50", median_ratio(p50[ours.name], p50[floor.name]), at_most=1.5)
    yield Figure("p99 at half load", statistics.median(p99), "us", at_most=1000, detail=f"at {half:,.0f} checks/s")
    yield Figure("p99 of the floor at that rate", statistics.median(floor_p99), "us")


class Reloader:
    """Edits a policy in place, again and again, while it is open: an unrelated limit changes its number."""

    def __init__(self, policy: Path, server: Server, every: float) -> None:
        self.policy, self.server, self.every = policy, server, every
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._text = policy.read_text()

    def __enter__(self) -> Reloader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            self.count += 1
            self.policy.write_text(self._text.replace("limit: 100\n", f"limit: {100 + self.count}\n"))
            self.server.signal(signal.SIGHUP)


def reload(bench: Bench) -> Iterator[Figure]:
    """p99 at half load while the policy is edited four times a second, against none; no call may fail."""
    with bench.start_ratelimitd("limits20") as server:
        half = bench.load_on(server, **ONE_EACH).throughput.per_second / 2
        quiet, busy, edits = [], [], 0
        options = {**ONE_EACH, "rate": half}
        for _ in range(TAIL_RUNS * bench.repeats):
            quiet.append(bench.load_on(server, **options).latency_us["p99"])
            with Reloader(bench.paths["limits20"], server, 0.25) as reloader:
                busy.append(bench.load_on(server, **options).latency_us["p99"])
            edits += reloader.count
        swaps = server.logged("policy reloaded")
    if swaps < edits / 2:
        raise BenchError(f"{edits} edits, but only {swaps} policies were swapped in")
    yield Figure("p99 without reloads", statistics.median(quiet), "us", detail=f"at {half:,.0f} checks/s")
    yield Figure("p99 during reloads", statistics.median(busy), "us", detail=f"{swaps} swaps of {edits} edits")
    # Not the median of the pairs' ratios: a stall in either half of a pair is its ratio then.
    ratio = statistics.median(busy) / statistics.median(quiet)
    yield Figure("p99 during / without reloads", ratio, at_most=2)


def workers(bench: Bench) -> Iterator[Figure]:
    """Two workers against one. Below four cores the load takes theirs: work per CPU-second then stands for the wall."""
    one_cores, two_cores = Cores.of_machine(1), Cores.of_machine(2)
    with ExitStack() as stack:
        one = stack.enter_context(bench.start_ratelimitd("limits20", "one-worker", cores=one_cores.server))
        two = stack.enter_context(bench.start_ratelimitd("limits20", "two-workers", 2, cores=two_cores.server))
        single, double = [], []
        for _ in range(bench.repeats):
            single.append(bench.h2load(one, cores=two_cores.load))
            double.append(bench.h2load(two, cores=two_cores.load))
    wall = median_ratio([t.per_second for t in double], [t.per_second for t in single])
    scaled = 2 * median_ratio([t.per_cpu_second for t in double], [t.per_cpu_second for t in single])
    enough = len(os.sched_getaffinity(0)) >= 4
    if enough:
        yield Figure("two workers / one, wall", wall, at_least=1.8)
    else:
        yield Figure("two workers / one, wall", wall, detail="the load shares their cores")
        yield Figure("two workers / one, per CPU-second x 2", scaled, at_least=1.8)


def keys(bench: Bench) -> Iterator[Figure]:
    """Ten million live keys against ten thousand: checks per CPU-second, uniform draws, and resident memory."""
    extra = ("--max-keys", str(bench.keys + bench.keys // 10))
    vary = [bench.request.client_at]
    with ExitStack() as stack:
        counts = (FEW_KEYS, bench.keys)
        servers = {n: stack.enter_context(bench.start_ratelimitd("limits20", f"keys{n}", extra=extra)) for n in counts}
        for count, server in servers.items():
            bench.load_on(server, vary=vary, keys=count, draw="sequence", requests=count, connections=8, streams=100)
        rates: dict[int, list[float]] = {n: [] for n in servers}
        for _ in range(bench.repeats):
            for count, server in servers.items():
                report = bench.load_on(server, vary=vary, keys=count, connections=8, streams=32)
                rates[count].append(report.throughput.per_cpu_second)
        memory = {count: server.rss_bytes() / 2**20 for count, server in servers.items()}
    many = f"{bench.keys:,} live keys"
    yield Figure(f"checks, {FEW_KEYS:,} live keys", statistics.median(rates[FEW_KEYS]), "/CPU-s")
    yield Figure(f"checks, {many}", statistics.median(rates[bench.keys]), "/CPU-s")
    yield Figure(f"{many} / {FEW_KEYS:,}", median_ratio(rates[bench.keys], rates[FEW_KEYS]), at_least=0.7)
    beside = f"{memory[FEW_KEYS]:.0f} MiB at {FEW_KEYS:,}"
    yield Figure(f"resident, {many}", memory[bench.keys], "MiB", at_most=1024, detail=beside)


def accuracy(bench: Bench) -> Iterator[Figure]:
    """The share of checks that the estimates decide differently from an exact log (benchmarks/accuracy.py)."""
    bench.say("accuracy against an exact log")
    target = bench.directory / "accuracy.json"
    command = [sys.executable, "-m", "benchmarks.accuracy", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise BenchError(f"benchmarks.accuracy: {done.stdout}{done.stderr}")
    for row in json.loads(target.read_text()):
        yield Figure(row["name"], row["percent"], "%", detail=row.get("detail", ""))


def waf(bench: Bench) -> Iterator[Figure]:
    """CPU of one request under the Core Rule Set at paranoia 1, in process, engine by engine and request by request."""
    commands = engines(bench.directory)
    turns: dict[str, list[Turn]] = {name: [] for name in commands}
    for _ in range(bench.repeats):
        for name, command in commands.items():
            bench.say(f"the Core Rule Set on {name}")
            turns[name].append(turn(name, command, bench.seconds / 4))
    bench.say("the Core Rule Set behind gRPC")
    served = over_grpc(bench.directory, bench.seconds / 2)
    note = "" if "Coraza" in commands else "Coraza left out: no Go toolchain"
    for request in requests():
        taken = {name: [turn[request.name] for turn in of_engine] for name, of_engine in turns.items()}
        ours = statistics.median(taken[OURS])
        yield Figure(f"{request.name}: {OURS}", ours, "us", at_most=WAF_AT_MOST.get(request.name), detail=note)
        yield Figure(f"{request.name}: {OURS}, a check over gRPC", served[request.name], "us")
        for name, theirs in taken.items():
            if name != OURS:
                at_least = WAF_TIMES[name] if request.benign else None
                cpu = f"{statistics.median(theirs):,.0f} us"
                yield Figure(
                    f"{request.name}: {name} / ours", median_ratio(theirs, taken[OURS]), "x", at_least, detail=cpu
                )
    bench.say("what bounds the cost of the Core Rule Set")
    yield from waf_bounds(bounds(bench.seconds / 4))


def waf_bounds(found: dict[str, Any]) -> Iterator[Figure]:
    for name, times in found["growth"].items():
        yield Figure(f"a byte of {name}, 128 KB / 16 KB", times, "x", at_most=WAF_GROWTH)
    worst = max(found["hostile"], key=found["hostile"].__getitem__)
    detail = f"{worst}; the worst of {len(found['hostile'])}"
    yield Figure("hostile / benign of its size", found["hostile"][worst], "x", at_most=WAF_HOSTILE, detail=detail)
    yield Figure("memory of a profile that shares rules", found["profile_bytes"] / 1024, "KB", at_most=WAF_PROFILE_KB)


def doors(bench: Bench) -> Iterator[Figure]:
    """What each door costs. Of the edge: its own time, without the call to the network."""
    with bench.start_ratelimitd("limits20") as server:
        bench.say("/auth by HTTP/1.1")
        turns = [ask_auth(server, bench.cores.load, bench.seconds) for _ in range(bench.repeats)]
    yield Figure("/auth, HTTP/1.1 kept alive", median_rate(turns), "/CPU-s", at_least=120_000)
    rate = median_rate(ask_rate_limit(bench))
    yield Figure("ShouldRateLimit, 3 descriptors", rate, "/CPU-s", at_least=200_000)
    bench.say("the edge's own time")
    for name, microseconds in edge.overheads().items():
        bound = 300 if name.startswith("Lambda") else None
        yield Figure(f"{name}: own time", microseconds, "us", at_most=bound)
    beside = f"{edge.import_ms(edge.GRPC):.0f} ms with gRPC"
    yield Figure("Lambda authorizer: import", edge.import_ms(edge.STDLIB), "ms", at_most=150, detail=beside)
    yield from over_tls(bench)


def over_tls(bench: Bench) -> Iterator[Figure]:
    plain, sealed = plain_and_tls(bench)
    yield Figure("checks over TLS", statistics.median(sealed), "/CPU-s")
    yield Figure("checks over TLS / in plain text", median_ratio(sealed, plain), at_least=0.6)


def shared_counts(bench: Bench) -> Iterator[Figure]:
    """20,000 dirty keys each 100 ms: what both sides spend on them, what checks lose, and a round trip per check."""
    cluster.write_policy(bench)
    with ExitStack() as stack:
        store = cluster.Store(bench, stack)
        steady = [cluster.exchange(bench, store) for _ in range(bench.repeats)]
        ours = statistics.median(s.cpu_seconds / s.count for s in steady)
        master = statistics.median(max(s.masters) / s.count for s in steady)
        at = f"of a core, at {cluster.UPDATES:,} updates a second"
        yield Figure("control plane", 100 * ours * cluster.UPDATES, "%", at_most=25, detail=at)
        yield Figure("each master", 100 * master * cluster.UPDATES, "%", at_most=25, detail=f"the busiest; {at}")
        full = [cluster.exchange(bench, store, flat_out=True) for _ in range(bench.repeats)]
        yield Figure("dirty keys, control plane", statistics.median(s.count / s.cpu_seconds for s in full), "/CPU-s")
        most = statistics.median(s.count / len(s.masters) / max(s.masters) for s in full)
        yield Figure("dirty keys, each master", most, "/CPU-s", detail="of its own third")
        shared, alone = cluster.serving(bench, store)
        kept = median_ratio([s.per_worker_second for s in shared], [s.per_worker_second for s in alone])
        checks = [s.spent.per_cpu_second for s in shared]
        yield Figure("checks, shared / alone", kept, at_least=0.9, detail="per CPU-second of the workers")
        yield Figure("checks, shared", statistics.median(checks), "/CPU-s", detail="whole: control plane, masters")
        yield from rounds(bench, store, checks)
    decisions = statistics.median(s.decisions for s in steady)
    each = statistics.median(s.decision_ns for s in steady)
    yield Figure("decisions in process, shared", decisions, "/CPU-s", detail=f"{each:.0f} ns each; masters are in it")


def rounds(bench: Bench, store: cluster.Store, checks: Sequence[float]) -> Iterator[Figure]:
    """Those who ask a Redis each time, asked what we are asked; then clients, each with all whom it asks."""
    incr = [s.per_cpu_second for s in rivals.incr_expire_service(bench)]
    whole = "the service and its Redis"
    yield Figure("checks, INCR then EXPIRE in Python", statistics.median(incr), "/CPU-s", detail=whole)
    yield Figure("shared / INCR then EXPIRE", median_ratio(checks, incr), at_least=20)
    binary = rivals.build_envoy(bench)
    turns = rivals.should_rate_limit(bench, binary)
    rates = {name: [s.per_cpu_second for s in of_one] for name, of_one in turns.items()}
    ours = rates.pop("ours")
    note = "" if binary else "; envoyproxy/ratelimit left out: no Go toolchain"
    yield Figure("ShouldRateLimit, shared", statistics.median(ours), "/CPU-s", detail=f"3 descriptors, {whole}{note}")
    for name, theirs in rates.items():
        yield Figure(f"ShouldRateLimit, {name}", statistics.median(theirs), "/CPU-s", detail=whole)
        yield Figure(f"shared / {name}", median_ratio(ours, theirs), at_least=20)
    with cluster.start_shared(bench, store.url) as server:
        asking = rivals.client(bench, rivals.asking, server.port, [server.process.pid, *store.pids])
    clients = {
        "client in Python: asks us": asking,
        "client in Python: INCR, then EXPIRE": rivals.alone(bench, rivals.incr_expire),
        "client of bytes: INCRBY+EXPIRE": rivals.alone(bench, rivals.pipelined),
    }
    for name, spent in clients.items():
        wall = f"{spent.count / spent.seconds:,.0f} a second on one connection; {share(spent)}"
        yield Figure(name, 1e6 / spent.per_cpu_second, "us CPU", detail=wall)


def share(spent: cluster.Spent) -> str:
    return f"{100 * spent.cpu_seconds / (spent.cpu_seconds + sum(spent.masters)):.0f} % of it the client's"


GROUPS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "throughput": throughput,
    "latency": latency,
    "reload": reload,
    "workers": workers,
    "keys": keys,
    "accuracy": accuracy,
    "waf": waf,
    "doors": doors,
    "cluster": shared_counts,
}
