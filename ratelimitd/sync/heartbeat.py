"""Once a second: is each master alive, what time is it there, and how many nodes are there?

The store's clock is the reference: the median over masters of their TIME, half a round trip later.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from ratelimitd.sync.layout import Layout
from ratelimitd.sync.topology import Master

LIVE_MS = 3000  # a node that said nothing for so long is gone
KEEP_MS = 86_400_000  # of the list of nodes, and of the hash key
SLOWEST = 0.25  # seconds of a round trip whose time is still believed


@dataclass(frozen=True, slots=True)
class Beat:
    """What one round learned. offset_ms: the store's clock minus ours; None: nobody said. replaced: masters that are
    other processes than the last time, so what was last written to them may be lost.
    """

    offset_ms: float | None
    failures: list[tuple[Master, Exception]]
    replaced: list[Master]


async def beat(masters: list[Master]) -> Beat:
    """Asks all masters for their time and who they are, at once."""
    before = [master.run_id for master in masters]
    results = await asyncio.gather(*(_offset(master) for master in masters), return_exceptions=True)
    failures = [(m, r) for m, r in zip(masters, results, strict=True) if isinstance(r, Exception)]
    offsets = [result for result in results if isinstance(result, float)]
    replaced = [master for master, run_id in zip(masters, before, strict=True) if master.run_id != run_id]
    return Beat(statistics.median(offsets) if offsets else None, failures, replaced)


async def _offset(master: Master) -> float | None:
    """ms; None when the answer took too long to tell. time.time() may step meanwhile: the round trip is the monotonic
    clock's."""
    pipeline = master.client.pipeline(transaction=False)
    pipeline.time()
    pipeline.info("server")
    began = time.monotonic()
    (seconds, micros), info = await pipeline.execute()
    master.run_id = str(info["run_id"])
    took = time.monotonic() - began
    if took > SLOWEST:
        return None
    return (float(seconds) + float(micros) / 1e6 - (time.time() - took / 2)) * 1000


async def register(master: Master, layout: Layout, name: str, now_ms: int) -> list[str]:
    """Says that this node lives, and hears which do. The names of live nodes, ours among them."""
    pipeline = master.client.pipeline(transaction=True)
    pipeline.zadd(layout.nodes, {name: now_ms})
    pipeline.zremrangebyscore(layout.nodes, "-inf", now_ms - KEEP_MS)
    pipeline.pexpire(layout.nodes, KEEP_MS)
    pipeline.zrangebyscore(layout.nodes, now_ms - LIVE_MS, "+inf")
    names = (await pipeline.execute())[-1]
    return sorted(text.decode(errors="replace") for text in names)


async def unregister(master: Master, layout: Layout, name: str) -> None:
    await master.client.zrem(layout.nodes, name)


async def share_hash_key(master: Master, layout: Layout, ours: bytes) -> bytes:
    """The key that all nodes hash by: ours if there was none. Its life is renewed."""
    pipeline = master.client.pipeline(transaction=True)
    pipeline.set(layout.hash_key, ours, nx=True, px=KEEP_MS)
    pipeline.get(layout.hash_key)
    pipeline.pexpire(layout.hash_key, KEEP_MS)
    _, key, _ = await pipeline.execute()
    if not isinstance(key, bytes):
        raise ValueError("SET NX and GET left no value")
    return key
