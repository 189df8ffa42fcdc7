"""Starts the servers that are measured, each on the cores it is given, and reads what they spent from /proc."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"(?:^port |ratelimitd ready: grpc \S*?:|Listening for gRPC on '\S*?:)(\d+)", re.MULTILINE)
CXX_FLAGS = ["-std=c++20", "-O2", "-march=x86-64-v2"] if os.uname().machine == "x86_64" else ["-std=c++20", "-O2"]


class BenchError(Exception):
    """A server or a load did not do what the measurement needs."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: the server on the first core, the load on the last."""

    server: tuple[int, ...]
    load: tuple[int, ...]

    @staticmethod
    def of_machine(workers: int = 1) -> Cores:
        """One core to each worker, the rest to the load; with too few cores they share the last."""
        cores = sorted(os.sched_getaffinity(0))
        return Cores(tuple(cores[:workers]), tuple(cores[workers:] or cores[-1:]))


def on_cores(cores: Sequence[int], command: Sequence[str]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def build(source: Path, target: Path) -> Path:
    """One of the C++ tools of this directory; needs g++ and libnghttp2-dev."""
    command = [*os.environ.get("CXX", "g++").split(), *CXX_FLAGS, str(source), "-o", str(target), "-lnghttp2"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"cannot build {source.name}:\n{done.stderr}")
    return target


class Server:
    """A server process, from its ready line to its end. Its output goes to `log`."""

    def __init__(self, name: str, command: Sequence[str], directory: Path, cores: Sequence[int]) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        kept = {"RATELIMITD_CACHE_DIR": str(ROOT / "build" / "databases")}
        environment = {**kept, **os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                on_cores(cores, command), stdout=log, stderr=log, cwd=directory, env=environment
            )
        self.port = 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def wait_ready(self, seconds: float = 90) -> Server:
        deadline = time.monotonic() + seconds
        while True:
            found = READY.search(self.log.read_text(errors="replace"))
            if found:
                self.port = int(found[1])
                return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                raise BenchError(f"{self.name} did not get ready (exit code {self.process.returncode}):\n{tail}")
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """utime + stime of all threads that live or lived. The clock tick is 10 ms: measure over a second or more."""
        return cpu_seconds(self.process.pid)

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def logged(self, text: str) -> int:
        """How often its output has this text."""
        return self.log.read_text(errors="replace").count(text)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def cpu_seconds(pid: int, thread: int | None = None) -> float:
    """utime + stime of a process, or of one of its threads."""
    task = f"/task/{thread}" if thread else ""
    fields = Path(f"/proc/{pid}{task}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def floor_command(binary: Path, answer_bytes: int) -> list[str]:
    return [str(binary), str(answer_bytes)]


def grpcio_command() -> list[str]:
    return [sys.executable, "-m", "benchmarks.peers.grpcio_aio"]


def ratelimitd_command(policy: Path, workers: int = 1, extra: Sequence[str] = ()) -> list[str]:
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--listen", "127.0.0.1:0"]
    return [*command, "--admin", "off", "--workers", str(workers), *extra]
