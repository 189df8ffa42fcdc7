"""Checks to several nodes at once, far more than their limits admit, and what became of each.

A tick's checks of a node travel as one CheckBatch. Its first check is counted by a fixed window that all nodes keep for
themselves: its reset tells the node's own time, by which windows begin and end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from ratelimitd.v1 import ratelimit_pb2 as pb

from .servers import Node

TICK = 0.005  # seconds between two batches to a node
CALL_SECONDS = 5
CLOCK_MS = 60_000
CLOCK_LIMIT = f"""\
  clock: {{match: {{path: /clock}}, key: client.ip, limit: 1000000000, window: {CLOCK_MS // 1000}s, \
algorithm: fixed_window, consistency: local}}
"""


@dataclass(frozen=True)
class Stream:
    """Checks of one key, `rate` hits a second on all nodes together, `cost` each, dealt by `parts`."""

    path: str
    rate: float
    cost: int
    parts: tuple[float, ...]

    def share(self, node: int) -> float:
        """Checks in a tick."""
        return self.rate * TICK / self.cost * self.parts[node] / sum(self.parts)


@dataclass(frozen=True)
class Answer:
    now_ms: int  # by the node's clock
    node: int
    cost: int
    allowed: bool


@dataclass
class Traffic:
    streams: Sequence[Stream]
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    late: int = 0  # ticks that were left out, because the last one was not answered yet

    def run(self, nodes: Sequence[Node], seconds: float) -> None:
        self.answers = {stream.path: [] for stream in self.streams}
        asyncio.run(self._run(nodes, seconds))
        for answers in self.answers.values():
            answers.sort(key=lambda answer: answer.now_ms)

    async def _run(self, nodes: Sequence[Node], seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._ask(node, number, end) for number, node in enumerate(nodes)))

    async def _ask(self, node: Node, number: int, end: float) -> None:
        rng = random.Random(number)
        checks = [_check(stream.path, stream.cost) for stream in self.streams]
        clock = _check("/clock", 1)
        owed = [rng.random() for _ in self.streams]
        tick = time.monotonic() + TICK * number / 3
        async with grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
            call = channel.unary_unary("/ratelimitd.v1.RateLimitService/CheckBatch")
            while tick < end:
                asked = []
                for at, stream in enumerate(self.streams):
                    owed[at] += stream.share(number)
                    asked += [at] * int(owed[at])
                    owed[at] %= 1
                rng.shuffle(asked)
                batch = b"".join([clock, *(checks[at] for at in asked)])
                answer = pb.CheckBatchResponse.FromString(await call(batch, timeout=CALL_SECONDS))
                self._note(number, asked, answer.responses)
                tick += TICK
                left = tick - time.monotonic()
                if left > 0:
                    await asyncio.sleep(left)
                elif left < -TICK:
                    self.late += 1
                    tick = time.monotonic()

    def _note(self, node: int, asked: list[int], responses: Sequence[pb.CheckResponse]) -> None:
        assert len(responses) == len(asked) + 1
        now_ms = _clock(responses[0].limits[0].reset_after_ms)
        for at, response in zip(asked, responses[1:], strict=True):
            stream = self.streams[at]
            allowed = response.decision == pb.DECISION_ALLOW
            self.answers[stream.path].append(Answer(now_ms, node, stream.cost, allowed))


def _check(path: str, cost: int) -> bytes:
    """As a field of a CheckBatchRequest: it is sent again and again."""
    request = pb.CheckRequest(source_address="203.0.113.7", method="GET", path=path, cost=cost)
    return pb.CheckBatchRequest(requests=[request]).SerializeToString()


def _clock(left_ms: int) -> int:
    """The time at which so much was left of the clock's window: the one that is nearest to now."""
    now_ms = time.time_ns() // 1_000_000
    window = round((now_ms + left_ms) / CLOCK_MS)
    return window * CLOCK_MS - left_ms
