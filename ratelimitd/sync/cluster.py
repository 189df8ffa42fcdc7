"""Runs the exchange: an interval's flushes, one task a master; a heartbeat; what is lost; what is told.

A check never waits for any of it. Every failure ends here: in a counter, in the state of a master and, when that
changes, in one line of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ratelimitd._engine import Engine
from ratelimitd.log import Logger
from ratelimitd.sync import heartbeat
from ratelimitd.sync.breaker import Breaker
from ratelimitd.sync.events import Events
from ratelimitd.sync.faults import MOVED, explain
from ratelimitd.sync.flush import Flusher
from ratelimitd.sync.layout import SHARDS, Layout
from ratelimitd.sync.options import Options
from ratelimitd.sync.status import Histogram, MasterStatus, Status
from ratelimitd.sync.topology import Master, Topology

BEAT_SECONDS = 1.0
LOOK_SECONDS = 10.0  # between two looks at who the masters are, when nobody says MOVED
LOST_SECONDS = 1.5  # of silence, until a master's shards count as lost
NEVER = float("inf")
URGENT_SECONDS = 0.01  # between two flushes ahead of time, at least
URGENT_REST = 4  # ... and as many times what the last flush took
STEP_MS = 50  # of our clock against the monotonic one: not drift
LAST_SECONDS = 2.0  # for the last flushes
LAST_FLUSHES = 100


async def fetch_hash_key(options: Options, ours: bytes, log: Logger) -> bytes:
    """The cluster's hash key; ours when there was none, or when the store does not answer in time."""
    layout = Layout(options.prefix)
    topology = Topology(options.access, layout)
    try:
        async with asyncio.timeout(options.wait):
            await topology.open()
            master = topology.master(layout.slot)
            if master is not None:
                return await heartbeat.share_hash_key(master, layout, ours)
    except Exception as error:
        store = str(options.access.address)
        log.warning("the store is not there yet: starting without it", store=store, why=explain(error)[1])
    finally:
        await topology.close()
    return ours


class Cluster:
    """One node's side of the cluster. `run` until cancelled, then `leave`."""

    def __init__(self, engine: Engine, options: Options, node: int, hash_key: bytes, log: Logger) -> None:
        self._engine = engine
        self._options = options
        self._log = log
        self._hash_key = hash_key
        self._name = f"{node:08x} {socket.gethostname()}:{os.getpid()}"
        self._layout = Layout(options.prefix)
        self._topology = Topology(options.access, self._layout)
        back_seconds = BEAT_SECONDS + options.access.seconds + 2 * options.interval
        self._flusher = Flusher(engine, self._layout, node, back_seconds)
        self._events = Events(engine, self._layout, node, engine.stats()["bans"]["max_bans"])
        self._exchanging = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._urgent = asyncio.Event()
        self._problem, self._problem_kind = "not connected yet", "start"
        self._breaker = Breaker()  # of looking for the store
        self._nodes: tuple[str, ...] = ()
        self._lost = bytes([1]) * SHARDS
        self._found = [0.0] * SHARDS  # from when on the store of a shard is not lost
        self._before = 0  # nodes, when a shard was lost
        engine.sync_lost(self._lost, 1)
        self._offset_ms = 0.0
        self._clock_gap = _clock_gap()
        self._flushes = Histogram()
        self._errors: Counter[str] = Counter()
        self._looked = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        beats = asyncio.create_task(self._beats())
        loop.add_reader(self._engine.sync_urgent_fd(), self._urgent.set)
        try:
            while True:
                self._follow_steps()
                for master in self._topology.masters.values():
                    master.due.update(master.shards)
                    master.early = 0.0
                self._exchange_events()
                await self._flush_urgent(time.monotonic() + self._options.interval)
        finally:
            loop.remove_reader(self._engine.sync_urgent_fd())
            beats.cancel()
            await asyncio.gather(beats, *self._tasks, return_exceptions=True)

    async def leave(self) -> None:
        """After the last check: flushes what is left and takes this node off the list."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_SECONDS):
                await asyncio.gather(*(self._flush_rest(master) for master in self._topology.masters.values()))
                keeper = self._topology.master(self._layout.slot)
                if keeper is not None:
                    await self._exchange(keeper)
                    await heartbeat.unregister(keeper, self._layout, self._name)
        await self._topology.close()

    def status(self) -> Status:
        now = time.monotonic()
        masters = tuple(
            MasterStatus(m.name, len(m.shards), not m.trouble, m.trouble, now - m.answered, m.flush_seconds)
            for m in self._topology.masters.values()
        )
        return Status(
            mode=self._topology.mode,
            address=str(self._options.access.address),
            version=self._topology.version,
            problem=self._problem,
            masters=masters,
            nodes=self._nodes,
            lost_shards=sum(self._lost),
            staleness_seconds=max((m.silent_seconds for m in masters if m.shards), default=0.0),
            clock_offset_ms=self._offset_ms,
            interval_seconds=self._options.interval,
            flushes=self._flushes,
            told=self._events.told,
            heard=self._events.heard,
            errors=dict(self._errors),
            resyncs=self._flusher.resyncs,
        )

    # Flushes.

    def _flush_due(self) -> float:
        """A task for each master that has something to flush and may be asked.

        Returns when to look again (monotonic seconds).
        """
        now, then = time.monotonic(), math.inf
        for master in self._topology.masters.values():
            shards = [shard for shard in master.shards if shard in master.due]
            if not shards or master.busy:
                continue  # when it is done, it says so
            if now < master.early:
                then = min(then, master.early)
                continue
            master.due.clear()
            if master.breaker.may_ask(now):
                self._spawn(self._flush(master, shards))
        return then

    def _exchange_events(self) -> None:
        keeper = self._topology.master(self._layout.slot)
        if keeper is not None and not self._exchanging and keeper.breaker.may_ask(time.monotonic()):
            self._spawn(self._exchange(keeper))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, keeper: Master) -> None:
        """Bans and resets, by the one master that keeps them."""
        if self._exchanging:
            return
        self._exchanging = True
        try:
            now_ms = int(time.time() * 1000 + self._offset_ms)
            await self._events.exchange(keeper.client, keeper.name, now_ms)
        except Exception as error:
            self._failed(keeper, error)
        finally:
            self._exchanging = False

    async def _flush_urgent(self, until: float) -> None:
        """Until then (monotonic seconds), flushes what is due, and counters near their limit ahead of time.

        It is mostly at rest.
        """
        while True:
            then = min(until, self._flush_due())
            if (left := then - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._urgent.wait()
            elif then == until:
                return
            if self._urgent.is_set():
                self._urgent.clear()
                urgent = set(self._engine.sync_urgent())
                for master in self._topology.masters.values():
                    master.due |= urgent.intersection(master.shards)

    async def _flush(self, master: Master, shards: list[int]) -> None:
        if master.busy:
            return
        master.busy = True
        began, started = time.perf_counter(), time.monotonic()
        try:
            failures = await self._flusher.flush(master, shards)
        except Exception as error:
            master.refuses = True
            self._failed(master, error)
        else:
            if failures is None:
                return
            master.flush_seconds = time.perf_counter() - began
            master.early = started + max(URGENT_SECONDS, URGENT_REST * master.flush_seconds)
            self._flushes.add(master.flush_seconds)
            for failure in failures[1:]:
                self._count(failure)
            master.refuses = bool(failures)
            if failures:
                self._failed(master, failures[0])
            else:
                self._answered(master)
        finally:
            master.busy = False
            if master.due:
                self._urgent.set()

    async def _flush_rest(self, master: Master) -> None:
        for _ in range(LAST_FLUSHES):
            if await self._flusher.flush(master, master.shards) is None:
                return

    # Heartbeats.

    async def _beats(self) -> None:
        while True:
            try:
                await self._beat()
            except Exception as error:
                self._count(error)
                self._say_problem(error)
            await asyncio.sleep(BEAT_SECONDS)

    async def _beat(self) -> None:
        if not self._topology.mode:
            if not self._breaker.may_ask(time.monotonic()):
                return
            await self._trying(self._topology.open)
        elif self._topology.stale or time.monotonic() - self._looked > LOOK_SECONDS:
            await self._trying(self._topology.refresh)
        found = await heartbeat.beat(list(self._topology.masters.values()))
        for master, error in found.failures:
            self._failed(master, error)
        self._flusher.repeat()
        for master in found.replaced:
            self._flusher.resync([shard for shard in master.shards if shard in self._flusher.seen])
        silent = {master for master, _ in found.failures}
        for master in self._topology.masters.values():
            if master not in silent and not master.refuses:
                self._answered(master)
            if master not in silent:
                await self._careful(master, self._flusher.compare(master))
        if found.offset_ms is not None:
            self._set_offset(found.offset_ms)
        keeper = self._topology.master(self._layout.slot)
        if keeper is not None and keeper not in silent:
            await self._careful(keeper, self._meet(keeper))
        self._find_lost()

    async def _trying(self, look: Callable[[], Awaitable[None]]) -> None:
        now = time.monotonic()
        try:
            await look()
        except Exception:
            self._breaker.failed(now)
            self._find_lost()
            raise
        self._breaker.succeeded()
        self._looked = now
        if self._problem:
            self._problem, self._problem_kind = "", ""
            masters = ", ".join(self._topology.masters)
            version = self._topology.version
            self._log.info("the store is there", store=self._topology.mode, masters=masters, version=version)

    async def _careful(self, master: Master, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self._failed(master, error)

    async def _meet(self, keeper: Master) -> None:
        now_ms = int(time.time() * 1000 + self._offset_ms)
        names = await heartbeat.register(keeper, self._layout, self._name, now_ms)
        if len(names) != len(self._nodes):
            self._log.info("nodes that share counts", count=len(names))
        self._nodes = tuple(names)
        key = await heartbeat.share_hash_key(keeper, self._layout, self._hash_key)
        if key != self._hash_key:
            self._engine.rekey(key)
            self._hash_key = key
            self._log.warning(
                "the cluster hashes by another key: what this node counted until now is lost to it",
                remedy="give all nodes the same --hash-key-file, and a start without the store loses nothing",
            )

    # What becomes of it.

    def _answered(self, master: Master) -> None:
        master.answered = time.monotonic()
        master.breaker.succeeded()
        if master.trouble:
            self._log.info("a master of the store answers again", master=master.name)
            master.trouble = ""

    def _failed(self, master: Master, error: Exception) -> None:
        kind, sentence = explain(error)
        self._errors[kind] += 1
        if kind == MOVED:
            self._topology.stale = True
            return
        self._topology.stale = True
        master.breaker.failed(time.monotonic())
        if master.trouble != kind and master.breaker.open:
            master.trouble = kind
            self._log.warning("a master of the store fails: checks go on", master=master.name, kind=kind, why=sentence)

    def _count(self, error: Exception) -> None:
        self._errors[explain(error)[0]] += 1

    def _say_problem(self, error: Exception) -> None:
        kind, sentence = explain(error)
        if kind != self._problem_kind:
            store = str(self._options.access.address)
            self._log.warning("the store cannot be used: checks go on", store=store, kind=kind, why=sentence)
        self._problem, self._problem_kind = sentence, kind

    def _find_lost(self) -> None:
        """Shards are lost while nobody answers for them, and until the other nodes may have come back too: what these
        counted meanwhile is to be known before limits hold as they did.
        """
        now = time.monotonic()
        nodes = len(self._nodes)
        answering = bytearray(SHARDS)
        for master in self._topology.masters.values():
            if now - master.answered < LOST_SECONDS:
                for shard in master.shards:
                    answering[shard] = 1
        for shard, answers in enumerate(answering):
            if not answers and self._found[shard] != NEVER:
                self._found[shard] = NEVER
                self._before = max(self._before, nodes)
            elif answers and self._found[shard] == NEVER:
                self._found[shard] = now + (self._flusher.back_seconds if self._before > 1 else 0)
        lost, self._lost = self._lost, bytes(now < found for found in self._found)
        self._flusher.ask_again([shard for shard in range(SHARDS) if lost[shard] > self._lost[shard]])
        if not any(self._lost):
            self._before = 0
        self._engine.sync_lost(self._lost, max(1, nodes, self._before))

    # The clock.

    def _set_offset(self, offset_ms: float) -> None:
        self._offset_ms = offset_ms
        self._engine.set_clock_offset(round(offset_ms))

    def _follow_steps(self) -> None:
        """Our clock was set: the store's was not. The next heartbeat would say so up to a second later."""
        gap = _clock_gap()
        step_ms = (gap - self._clock_gap) * 1000
        self._clock_gap = gap
        if abs(step_ms) > STEP_MS and self._topology.mode:
            self._log.warning("this machine's clock was set", by_ms=round(step_ms))
            self._set_offset(self._offset_ms - step_ms)


def _clock_gap() -> float:
    return time.time() - time.monotonic()
