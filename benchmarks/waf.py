"""The engines that run the Core Rule Set side by side, each in a process of its own that prints its figures.

Needs the rule set in `$RATELIMITD_SHARED/crs/v4` (default ../shared); Coraza needs a Go toolchain and its module proxy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import scenarios, waf_requests
from .loads import h2load
from .servers import ROOT, BenchError, Cores, Server, on_cores, ratelimitd_command

SHARED = Path(os.environ.get("RATELIMITD_SHARED", ROOT.parent / "shared"))
CORAZA = ROOT / "benchmarks" / "peers" / "coraza"

OURS = "ratelimitd"
Turn = dict[str, float]  # request: CPU microseconds


def core_rule_set() -> Path:
    crs = SHARED / "crs" / "v4"
    if not crs.is_dir():
        raise BenchError(f"the Core Rule Set is not in {SHARED} (set RATELIMITD_SHARED)")
    return crs


def output(name: str, command: Sequence[str], directory: Path = ROOT, seconds: float = 300) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise BenchError(f"{name}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout


def go() -> str | None:
    """The Go toolchain, in the path or where its installer puts it."""
    return shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")


def engines(directory: Path) -> dict[str, list[str]]:
    """The command of each engine that can run here; without Go there is no Coraza. Writes the requests and builds."""
    crs = str(core_rule_set())
    commands = {
        OURS: [sys.executable, "-m", "benchmarks.core_rules", "--crs", crs],
        "libmodsecurity": [sys.executable, "-m", "benchmarks.peers.modsecurity", "--crs", crs],
    }
    output("compiling the rules", [*commands[OURS], "--seconds", "0"])  # once, into the cache
    if toolchain := go():
        requests, binary = directory / "waf_requests.json", directory / "coraza"
        waf_requests.write(requests)
        output("building Coraza", [toolchain, "build", "-o", str(binary), "."], CORAZA)
        setup = str(ROOT / "benchmarks" / "waf.conf")
        coraza = [str(binary), "-crs", crs, "-setup", setup, "-requests", str(requests)]
        commands |= {"Coraza": coraza, "Coraza, prefilter": [*coraza, "-prefilter"]}
    return commands


def turn(name: str, command: Sequence[str], seconds: float) -> Turn:
    """One turn of an engine: `seconds` of each request. Each verdict must be the right one, or nothing was measured."""
    options = ["--seconds", str(seconds), "--repeats", "1"]
    rows = json.loads(output(name, on_cores(Cores.of_machine().server, [*command, *options])))["requests"]
    for request in waf_requests.requests():
        if rows[request.name]["blocked"] == request.benign:
            raise BenchError(f"{name}: {request.name} is {'blocked' if request.benign else 'let through'}")
    return {request: row["cpu_us"] for request, row in rows.items()}


def bounds(seconds: float) -> dict[str, Any]:
    """What `waf_bounds` prints."""
    command = [sys.executable, "-m", "benchmarks.waf_bounds", "--crs", str(core_rule_set()), "--seconds", str(seconds)]
    found: dict[str, Any] = json.loads(output("what bounds the cost", on_cores(Cores.of_machine().server, command)))
    return found


def policy() -> dict[str, object]:
    """The Core Rule Set at paranoia 1 as a policy of ours, and nothing else."""
    scan = {"mode": "block", "rulesets": [{"crs": str(core_rule_set())}], "paranoia": 1, "body_limit": "1MiB"}
    return {"version": 1, "domain": "bench", "scan": scan}


def check(request: waf_requests.Request) -> scenarios.Request:
    """The request as Envoy asks about it."""
    headers = [(":method", request.method), (":path", request.uri), *((k.lower(), v) for k, v in request.headers)]
    http = scenarios.field(2, request.method) + b"".join(scenarios.entry(3, *pair) for pair in headers)
    http += scenarios.field(4, request.uri) + scenarios.field(10, "HTTP/1.1")
    http += scenarios.field(12, request.body) if request.body else b""
    nowhere = (0, 0, "ip")
    return scenarios.Request(scenarios.CHECK, scenarios.framed(http), nowhere, nowhere)


def over_grpc(directory: Path, seconds: float) -> Turn:
    """Our server behind gRPC: all that a check costs it, the kernel's part too."""
    file = scenarios.write_policy(policy(), directory / "waf.yaml")
    cores = Cores.of_machine()
    cached = ("--cache-dir", str(ROOT / "build" / "databases"))
    server = Server("waf", ratelimitd_command(file, 1, cached), directory, cores.server)
    taken = {}
    try:
        server.wait_ready()
        for request in waf_requests.requests():
            body = directory / "waf.bin"
            body.write_bytes(check(request).frame)
            done = h2load(server, check(request), body, cores.load, seconds)
            taken[request.name] = 1e6 / done.per_cpu_second
    finally:
        server.stop()
    return taken
