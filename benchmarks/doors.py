"""The doors beside Check: what a check costs when a proxy asks over HTTP/1.1, or about descriptors."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Sequence

from . import scenarios
from .bench import Bench
from .loads import Throughput, load
from .servers import BenchError, Server, on_cores

KEYS = 10_000  # that ShouldRateLimit draws from
CONNECTIONS = 64  # kept alive; each has one request under way, as nginx's have
WRK_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)s")
WRK_BAD = re.compile(r"Non-2xx|Socket errors")


def auth_headers() -> dict[str, str]:
    """What nginx sends for the scenarios' request with the configuration in examples/nginx."""
    sent = {name: value for name, value in scenarios.HEADERS if not name.startswith(":")}
    for name in ("x-envoy-internal", "x-forwarded-for", "x-forwarded-proto"):
        del sent[name]
    return {
        "Host": "shop.example.com",
        "X-Original-Method": "GET",
        "X-Original-URI": scenarios.PATH + "?page=2&sort=price",
        "X-Forwarded-For": f"{scenarios.CLIENT}, 10.0.0.7",
        "X-Forwarded-Proto": "https",
        **sent,
    }


def ask_auth(server: Server, cores: Sequence[int], seconds: float) -> Throughput:
    """A closed loop of wrk on `cores`, one thread to each."""
    threads = min(len(cores), CONNECTIONS)
    command = f"wrk -c {CONNECTIONS} -t {threads} -d {max(round(seconds), 1)}s".split()
    for name, value in auth_headers().items():
        command += ["-H", f"{name}: {value}"]
    command.append(f"http://127.0.0.1:{server.port}/auth/nginx")
    before = server.cpu_seconds()
    done = subprocess.run(on_cores(cores, command), capture_output=True, text=True, timeout=seconds + 30)
    spent = server.cpu_seconds() - before
    total = WRK_TOTAL.search(done.stdout)
    if total is None or total[1] == "0" or WRK_BAD.search(done.stdout):
        raise BenchError(f"wrk against {server.name}: {done.stdout}{done.stderr}")
    return Throughput(int(total[1]), float(total[2]), spent)


def ask_rate_limit(bench: Bench) -> list[Throughput]:
    """ShouldRateLimit, with configuration of envoyproxy/ratelimit beside the policy."""
    request = scenarios.rate_limit_request()
    config = bench.directory / "ratelimit"
    config.mkdir(exist_ok=True)
    scenarios.write_policy(scenarios.rate_limit_config(), config / "edge.yaml")
    body = bench.directory / "ratelimit.bin"
    body.write_bytes(request.frame)
    options = {"connections": 4, "streams": 64, "keys": KEYS, "seconds": bench.seconds, "seed": scenarios.SEED}
    vary = [request.client_at, request.api_key_at]
    with bench.start_ratelimitd("limits20", "ratelimit", extra=("--ratelimit-config", str(config))) as server:
        bench.say("ShouldRateLimit")
        return [
            load(bench.load, server, request, body, bench.cores.load, vary=vary, **options).throughput
            for _ in range(bench.repeats)
        ]


def median_rate(turns: Sequence[Throughput]) -> float:
    return statistics.median(turn.per_cpu_second for turn in turns)
