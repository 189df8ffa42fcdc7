"""Exchanges counts with one master: what changed here goes out, everyone else's hits come back."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from ratelimitd.errors import EngineError
from ratelimitd.sync.faults import StoreError
from ratelimitd.sync.layout import Layout
from ratelimitd.sync.script import LEASE, arguments, lease_arguments, script_of
from ratelimitd.sync.topology import Master

if TYPE_CHECKING:
    from ratelimitd._engine import Engine, Packed

MOST = 2000  # counters of a shard in one call: about 10 ms of the server's time


@dataclass(slots=True)
class Seen:
    """What a shard looked like at the last flush. Another text, or a number that fell: the store lost data."""

    text: bytes = b""
    flushes: int = 0
    master: str = ""


@dataclass(slots=True)
class Flusher:
    """One for all masters; a master is flushed by one task at a time.

    back_seconds: when the store is back, or lost data, so long until every node has noticed and sent what it knows.
    """

    engine: Engine
    layout: Layout
    node: int
    back_seconds: float
    seen: dict[int, Seen] = field(default_factory=dict)
    resyncs: int = 0
    calls: int = 0  # of the lease script
    again: dict[int, float] = field(default_factory=dict)  # shards to be asked again, and when (monotonic)

    async def flush(self, master: Master, shards: list[int]) -> list[Exception] | None:
        """What is dirty of these of its shards, up to MOST counters of each.

        The errors of those shards that failed; None when there was nothing to send.

        Raises what redis-py raises when the master fails as a whole. Whatever did not arrive stays dirty.
        """
        packed = self.engine.sync_pack(shards, MOST)
        if not packed:
            return None
        try:
            replies = await self._exchange(master, packed)
        except BaseException:
            for _, groups in packed:
                self.engine.sync_unsent(groups)
            raise
        return [error for one, reply in zip(packed, replies, strict=True) for error in self._take(master, one, reply)]

    async def _exchange(self, master: Master, packed: list[Packed]) -> list[Any]:
        replies = await self._send(master, packed)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            for script in {script_of(packed[at]) for at in unknown}:
                await master.client.script_load(script.text)
            again = await self._send(master, [packed[at] for at in unknown])
            for at, reply in zip(unknown, again, strict=True):
                replies[at] = reply
        return replies

    async def _send(self, master: Master, packed: list[Packed]) -> list[Any]:
        pipeline = master.client.pipeline(transaction=False)
        for one in packed:
            if script_of(one) is LEASE:
                self.calls += 1
                values = lease_arguments(self.layout, self.node, self.calls, one)
            else:
                values = arguments(self.layout, self.node, secrets.token_hex(8), one)
            pipeline.execute_command("EVALSHA", script_of(one).sha, *values)
        return await pipeline.execute(raise_on_error=False)

    def _take(self, master: Master, packed: Packed, reply: Any) -> list[Exception]:
        shard, groups = packed
        if isinstance(reply, Exception):
            self.engine.sync_unsent(groups)
            return [reply]
        try:
            if script_of(packed) is LEASE:
                self.engine.sync_merge(groups, reply)
                return []
            text, flushes, *others = reply
            self.engine.sync_merge(groups, others)
            self._look(master, shard, text, int(flushes))
        except (TypeError, ValueError, EngineError) as error:
            self.engine.sync_unsent(groups)
            return [StoreError("nonsense", f"it answers the flush of shard {shard} with nonsense ({error})")]
        return []

    def _look(self, master: Master, shard: int, text: bytes, flushes: int) -> None:
        """Sends all again that is ours when the store may have lost it: a promoted replica lacks the last writes."""
        known = self.seen.setdefault(shard, Seen(text, 0, master.name))
        if known.text != text or flushes < known.flushes or known.master != master.name:
            self.resync([shard])
        known.text, known.flushes, known.master = text, flushes, master.name

    def resync(self, shards: list[int]) -> None:
        """Now, for others; and later, when the others have done it, for us."""
        self.resyncs += len(shards)
        self.engine.sync_resync(shards)
        due = time.monotonic() + self.back_seconds
        self.again.update(dict.fromkeys(shards, due))

    def ask_again(self, shards: list[int]) -> None:
        """What others have counted of every key that we count, also of those that nobody asks us for now."""
        if shards:
            self.engine.sync_resync(shards)

    def repeat(self) -> None:
        """Asks again where it is time."""
        now = time.monotonic()
        due = [shard for shard, at in self.again.items() if at <= now]
        for shard in due:
            del self.again[shard]
        self.ask_again(due)

    async def compare(self, master: Master) -> None:
        """Asks for the generations of shards that may not have been flushed for long."""
        shards = [shard for shard in master.shards if shard in self.seen]
        if not shards:
            return
        pipeline = master.client.pipeline(transaction=False)
        for shard in shards:
            pipeline.hget(self.layout.generations[shard], "text")
        for shard, text in zip(shards, await pipeline.execute(), strict=True):
            if text != self.seen[shard].text:
                del self.seen[shard]  # the next flush sees another again
                self.resync([shard])
