"""One node's side of the exchange alone: counters that are dirty at every interval, through the real flush.

    python -m benchmarks.exchange POLICY URL --keys 20000 --seconds 2 [--flat-out] [--pid PID]...

No check is made meanwhile: the counters are made dirty again as after a loss of the store, and that is within the
measured time. Prints JSON: records, seconds and CPU-seconds, ours and of each PID, and
what a check costs in process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

from ratelimitd._engine import Engine
from ratelimitd.policy import load_policy
from ratelimitd.sync.address import parse
from ratelimitd.sync.flush import Flusher
from ratelimitd.sync.layout import SHARDS, Layout
from ratelimitd.sync.topology import Access, Topology

from .servers import cpu_seconds

INTERVAL = 0.1
RUN = 10


def client(number: int) -> dict[str, str]:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return {"source_address": address, "path": "/", "method": "GET"}


def counted(policy: Path, keys: int) -> Engine:
    """An engine that has counted each of so many clients once."""
    engine = Engine(max_keys=2 * keys, hash_key=bytes(16))
    engine.sync_start(1)
    engine.swap(load_policy(policy).plan)
    for i in range(keys):
        engine.check(client(i))
    return engine


def decision_ns(engine: Engine, keys: int) -> float:
    """Of a check in process, in runs of RUN of a client: about as often as each is asked between two exchanges."""
    return sum(engine.bench(client(i), RUN) for i in range(keys)) / keys


async def exchange(engine: Engine, url: str, seconds: float, flat_out: bool, pids: list[int]) -> dict[str, object]:
    layout = Layout("bench")
    topology = Topology(Access(parse(url)), layout)
    await topology.open()
    flusher = Flusher(engine, layout, 1, back_seconds=2)

    async def turn() -> None:
        engine.sync_resync(range(SHARDS))
        failures = await asyncio.gather(*(flusher.flush(master, master.shards) for master in topology.masters.values()))
        assert not any(failures), failures

    for _ in range(3):  # scripts loaded, hashes grown
        await turn()
    records, others = packed(engine), [cpu_seconds(pid) for pid in pids]
    began, spent = time.monotonic(), time.process_time()
    turns = 0
    while time.monotonic() < began + seconds:
        await turn()
        turns += 1
        if not flat_out:
            await asyncio.sleep(max(0.0, began + turns * INTERVAL - time.monotonic()))
    out: dict[str, object] = {
        "records": packed(engine) - records,
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - spent,
        "masters": [cpu_seconds(pid) - before for pid, before in zip(pids, others, strict=True)],
    }
    await topology.close()
    return out


def packed(engine: Engine) -> int:
    count: int = engine.stats()["sync"]["packed"]
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="The exchange of counts with a store, without checks.")
    parser.add_argument("policy", type=Path)
    parser.add_argument("url")
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--flat-out", action="store_true", help="one flush after the other, not ten a second")
    parser.add_argument("--pid", type=int, action="append", default=[], help="a server whose CPU time counts")
    given = parser.parse_args()
    engine = counted(given.policy, given.keys)
    out = asyncio.run(exchange(engine, given.url, given.seconds, given.flat_out, given.pid))
    print(json.dumps(out | {"decision_ns": decision_ns(engine, given.keys)}))


if __name__ == "__main__":
    main()
