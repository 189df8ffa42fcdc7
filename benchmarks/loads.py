"""Sends load and reads its report.

h2load where one body suffices; load/load.cc where keys vary, the rate is fixed or latency counts.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .scenarios import Request
from .servers import BenchError, Server, on_cores

CONNECTIONS, STREAMS = 8, 32
H2LOAD_TIME = re.compile(r"finished in ([\d.]+)(ms|s),")
H2LOAD_BAD = re.compile(r"succeeded, (\d+) failed, (\d+) errored")
H2LOAD_OK = re.compile(r"status codes: (\d+) 2xx")


@dataclass(frozen=True)
class Throughput:
    """Requests answered, over wall seconds and the server's CPU-seconds."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        return self.requests / max(self.cpu_seconds, 1e-9)

    @property
    def per_second(self) -> float:
        return self.requests / max(self.seconds, 1e-9)


def h2load(
    server: Server, request: Request, body: Path, cores: Sequence[int], seconds: float, origin: str = ""
) -> Throughput:
    """A closed loop on `cores`, one thread to each: 8 connections of 32 streams. `origin`: the server's plain port."""
    threads = min(len(cores), CONNECTIONS)
    command = f"h2load -c {CONNECTIONS} -m {STREAMS} -t {threads} -D {round(seconds * 1000)}ms".split()
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", str(body)]
    command.append(f"{origin or f'http://127.0.0.1:{server.port}'}{request.method}")
    before = server.cpu_seconds()
    done = subprocess.run(on_cores(cores, command), capture_output=True, text=True, timeout=seconds + 30)
    spent = server.cpu_seconds() - before
    time, bad, ok = (p.search(done.stdout) for p in (H2LOAD_TIME, H2LOAD_BAD, H2LOAD_OK))
    if time is None or bad is None or ok is None or bad[1] != "0" or bad[2] != "0" or ok[1] == "0":
        raise BenchError(f"h2load against {server.name}: {done.stdout}{done.stderr}")
    return Throughput(int(ok[1]), float(time[1]) / (1000 if time[2] == "ms" else 1), spent)


@dataclass(frozen=True)
class Report:
    """What load.cc printed, and what the server spent meanwhile (with the warm-up, if there was one)."""

    throughput: Throughput
    failed: int
    latency_us: dict[str, float]
    answer_bytes: float


def load(
    binary: Path,
    server: Server,
    request: Request,
    body: Path,
    cores: Sequence[int],
    *,
    vary: Sequence[tuple[int, int, str]] = (),
    **options: Any,
) -> Report:
    """Options are load.cc's: connections, streams, seconds, requests, warm_up, rate, keys, draw, seed."""
    command = [str(binary), "127.0.0.1", str(server.port), request.method, str(body)]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    for offset, width, kind in vary:
        command += ["--vary", f"{offset}:{width}:{kind}"]
    before = server.cpu_seconds()
    done = subprocess.run(on_cores(cores, command), capture_output=True, text=True, timeout=300)
    spent = server.cpu_seconds() - before
    if done.returncode != 0:
        raise BenchError(f"load against {server.name}: {done.stdout}{done.stderr}")
    printed = json.loads(done.stdout)
    if printed["failed"]:
        raise BenchError(f"load against {server.name}: {printed['failed']} of {printed['requests']} calls failed")
    throughput = Throughput(printed["requests"], printed["seconds"], spent)
    return Report(throughput, printed["failed"], printed["latency_us"], printed["answer_bytes"])
