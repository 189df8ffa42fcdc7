"""The bench: the tools built, the scenarios written, and servers and loads started on the cores that are theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from . import scenarios
from .loads import Report, Throughput, h2load, load
from .servers import ROOT, BenchError, Cores, Server, build, floor_command, ratelimitd_command

MANY_KEYS = 10_000_000


@dataclass
class Bench:
    """What every measurement needs: the tools, the scenarios, and how long it may take."""

    directory: Path
    seconds: float
    repeats: int
    keys: int = MANY_KEYS
    say: Callable[[str], None] = lambda text: None
    cores: Cores = field(default_factory=Cores.of_machine)

    def __post_init__(self) -> None:
        self.request = scenarios.envoy_request()
        self.paths = scenarios.write_all(self.directory)
        self.floor = build(ROOT / "benchmarks/floor/echo.cc", self.directory / "echo")
        self.load = build(ROOT / "benchmarks/load/load.cc", self.directory / "load")
        self._answer_bytes = 0

    def start(self, name: str, command: Sequence[str], cores: Sequence[int] = ()) -> Server:
        self.say(f"starting {name}")
        return Server(name, command, self.directory, cores or self.cores.server).wait_ready()

    def start_ratelimitd(
        self, scenario: str, name: str = "", workers: int = 1, extra: Sequence[str] = (), cores: Sequence[int] = ()
    ) -> Server:
        """Ready, and proven by one call to decide by the scenario's policy."""
        server = self.start(name or scenario, ratelimitd_command(self.paths[scenario], workers, extra), cores)
        try:
            self._answer_bytes = len(ask(server, self.request))
        except BenchError:
            server.stop()
            raise
        return server

    def start_floor(self) -> Server:
        """The floor answers as many bytes as the ratelimitd that was started before it."""
        if not self._answer_bytes:
            raise BenchError("the floor starts after a ratelimitd: it answers as many bytes")
        return self.start("floor", floor_command(self.floor, self._answer_bytes))

    def h2load(self, server: Server, cores: Sequence[int] = (), origin: str = "") -> Throughput:
        self.say(f"h2load on {origin or server.name}")
        return h2load(server, self.request, self.paths["request"], cores or self.cores.load, self.seconds, origin)

    def load_on(self, server: Server, **options: Any) -> Report:
        self.say(f"load on {server.name}")
        options = {"seconds": self.seconds, "seed": scenarios.SEED, **options}
        return load(self.load, server, self.request, self.paths["request"], self.cores.load, **options)


def ask(server: Server, request: scenarios.Request) -> bytes:
    """One call: the answer's message. It must name a limit of ours, or the policy was not applied."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(request.method)
        answer: bytes = call(request.frame[5:], timeout=5, wait_for_ready=True)
    if not any(name.encode() in answer for name in scenarios.matching_limits()):
        raise BenchError(f"{server.name} answered without a limit: {answer!r}")
    return answer
