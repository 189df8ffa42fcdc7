"""Those who ask a Redis for each check: as services behind the door that we serve, and as clients that count for
themselves. Everybody's CPU counts, but the load's.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from ratelimitd.client import HttpClient, Request

from . import scenarios
from .bench import Bench
from .cluster import KEYS, Spent, answers, free_port, run, start_shared, wait
from .loads import load
from .servers import ROOT, BenchError, Server, cpu_seconds, on_cores
from .waf import go

ENVOY = ROOT / "benchmarks" / "peers" / "ratelimit"
PACKAGE = "github.com/envoyproxy/ratelimit/src/service_cmd"
DESCRIPTORS = 3  # of a request, a counter each: KEYS counters are drawn from
STREAMS = {"connections": 8, "streams": 32}


Check = Callable[[int], None]  # of one client, by number


@contextmanager
def lone_redis(bench: Bench) -> Iterator[tuple[int, int]]:
    """Its port and process, on the cores of the load."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(bench.directory)]
    process = subprocess.Popen(on_cores(bench.cores.load, command), stdout=subprocess.DEVNULL)
    try:
        wait(lambda: answers(port), "redis-server")
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def asked(
    bench: Bench, server: Server, request: scenarios.Request, keys: int, pids: Sequence[int], *, every: bool
) -> Spent:
    """A closed loop on a service, and what it and its stores spent. every: the request's API key varies as well."""
    body = bench.directory / f"{server.name}.bin"
    body.write_bytes(request.frame)
    vary = [request.client_at, request.api_key_at] if every else [request.client_at]
    options = {"keys": keys, "seconds": bench.seconds, "seed": scenarios.SEED, **STREAMS}
    bench.say(f"load on {server.name}")
    before = [cpu_seconds(pid) for pid in pids]
    took = load(bench.load, server, request, body, bench.cores.load, vary=vary, **options).throughput
    masters = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
    return Spent(took.requests, took.seconds, took.cpu_seconds, masters)


# ShouldRateLimit.


def build_envoy(bench: Bench) -> Path | None:
    """envoyproxy/ratelimit itself, from the Go module proxy; None without Go."""
    toolchain = go()
    if toolchain is None:
        return None
    bench.say("building envoyproxy/ratelimit")
    binary = bench.directory / "envoy-ratelimit"
    command = [toolchain, "build", "-o", str(binary), PACKAGE]
    done = subprocess.run(command, cwd=ENVOY, capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise BenchError(f"building envoyproxy/ratelimit: {done.stderr[-1500:]}")
    return binary


def configuration(bench: Bench) -> Path:
    """The folder that both read: envoyproxy/ratelimit wants it below a root, in config/."""
    folder = bench.directory / "envoy" / "ratelimit" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    scenarios.write_policy(scenarios.rate_limit_config(), folder / "edge.yaml")
    return folder


def start_envoy(bench: Bench, binary: Path, redis_port: int) -> Server:
    settings = {
        "RUNTIME_ROOT": str(configuration(bench).parents[1]),
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_WATCH_ROOT": "false",
        "LOG_LEVEL": "warn",
        "USE_STATSD": "false",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DEBUG_HOST": "127.0.0.1",
        "DEBUG_PORT": str(free_port()),
        "GRPC_HOST": "127.0.0.1",
        "GRPC_PORT": str(free_port()),
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{redis_port}",
    }
    server = bench.start("envoyproxy-ratelimit", ["env", *(f"{k}={v}" for k, v in settings.items()), str(binary)])
    wait(lambda: answers(server.port), "envoyproxy/ratelimit")
    return server


def should_rate_limit(bench: Bench, binary: Path | None) -> dict[str, list[Spent]]:
    """Turns of ours and, where it could be built, of envoyproxy/ratelimit, each with a Redis of its own."""
    with ExitStack() as stack:
        port, pid = stack.enter_context(lone_redis(bench))
        extra = ["--ratelimit-config", str(configuration(bench))]
        ours = start_shared(bench, f"redis://127.0.0.1:{port}", "shared-ratelimit", extra)
        servers = {"ours": (stack.enter_context(ours), pid)}
        if binary:
            port, pid = stack.enter_context(lone_redis(bench))
            servers["envoyproxy/ratelimit"] = (stack.enter_context(start_envoy(bench, binary, port)), pid)
        spent: dict[str, list[Spent]] = {name: [] for name in servers}
        for _ in range(1 + bench.repeats):  # the first warms up
            for name, (server, pid) in servers.items():
                request = scenarios.rate_limit_request()
                spent[name].append(asked(bench, server, request, KEYS // DESCRIPTORS, [pid], every=True))
    return {name: turns[1:] for name, turns in spent.items()}


# Check.


def incr_expire_service(bench: Bench) -> list[Spent]:
    """What a serverless authorizer does, behind our door."""
    with lone_redis(bench) as (port, pid):
        command = [sys.executable, "-m", "benchmarks.peers.incr_expire", str(port)]
        with bench.start("incr-expire", command) as server:
            return [asked(bench, server, bench.request, KEYS, [pid], every=False) for _ in range(bench.repeats)]


# Clients.


def incr_expire(port: int) -> Check:
    """INCR, then EXPIRE, through redis-py: what a Lambda authorizer that counts for itself does."""
    store = Redis(port=port)

    def check(number: int) -> None:
        key = f"{{bench}}:{number}"
        if store.incr(key) > 0:
            store.expire(key, 3600)

    return check


def pipelined(port: int) -> Check:
    """INCRBY and EXPIRE in one write and one read, by a client that does nothing else, not even read the answer."""
    calls = [_both(f"{{bench}}:{number}") for number in range(KEYS)]
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def check(number: int) -> None:
        connection.sendall(calls[number])
        answer = connection.recv(64)
        while answer.count(b"\r\n") < 2:
            answer += connection.recv(64)

    return check


def _both(key: str) -> bytes:
    commands = (("INCRBY", key, "1"), ("EXPIRE", key, "3600"))
    return b"".join(
        f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words) for words in commands
    )


def asking(port: int) -> Check:
    """A check over HTTP/1.1, kept alive, by our client for Lambdas."""
    limiter = HttpClient(f"127.0.0.1:{port}")

    def check(number: int) -> None:
        if not limiter.check(Request(path="/", source_address=f"10.9.{number >> 8}.{number & 255}")).allowed:
            raise BenchError("a check was denied")

    return check


CLIENTS: dict[str, Callable[[int], Check]] = {make.__name__: make for make in (incr_expire, pipelined, asking)}


def client(bench: Bench, make: Callable[[int], Check], port: int, pids: Sequence[int]) -> Spent:
    """One process of one connection, on the core of the servers; `pids`: whose CPU counts beside its own."""
    bench.say(f"{make.__name__}, a client")
    command = [sys.executable, "-m", "benchmarks.rivals", make.__name__, str(port), str(bench.seconds)]
    before = [cpu_seconds(pid) for pid in pids]
    out = json.loads(run(on_cores(bench.cores.server, command)))
    others = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
    return Spent(out["count"], out["seconds"], out["cpu_seconds"], others)


def alone(bench: Bench, make: Callable[[int], Check]) -> Spent:
    """A client that counts for itself, and its Redis."""
    with lone_redis(bench) as (port, pid):
        return client(bench, make, port, [pid])


def main() -> None:
    name, port, seconds = sys.argv[1:]
    check, draw, count = CLIENTS[name](int(port)), random.Random(1), 0
    check(0)
    began, spent = time.monotonic(), time.process_time()
    while time.monotonic() < began + float(seconds):
        check(draw.randrange(KEYS))
        count += 1
    took, cpu = time.monotonic() - began, time.process_time() - spent
    print(json.dumps({"count": count, "seconds": took, "cpu_seconds": cpu}))


if __name__ == "__main__":
    main()
