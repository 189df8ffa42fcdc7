"""Checks in the background, all of which must be answered and pass, and the audit of what became of them.

Limits are far away and windows long, so what a node knows of a key is exactly what all nodes were asked: more was
counted twice, less was lost.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ratelimitd.client import Client
from ratelimitd.client.request import Request
from tests.e2e.serving import eventually

from .servers import Node, flushed

KEYS = 24  # over as many shards, so over all masters
PAUSE = 0.003
ROUNDS = 4
# Of a busy machine. A store that hangs is waited for for 1 s: a check that waits for it is far beyond both.
NOISE, WAITED = 0.05, 0.8

EVERYWHERE = "/"
LEASED = 200  # of each key, over all nodes

POLICY = f"""\
version: 1
domain: shop
limits:
  audited: {{key: client.ip, limit: 1000000, window: 24h, algorithm: fixed_window}}
  leased:
    match: {{path: /leased}}
    key: client.ip
    limit: {LEASED}
    window: 24h
    algorithm: fixed_window
    consistency: leased
    on_store_loss: deny
penalties:
  banned: {{key: client.ip, ban: 1h}}
"""


def addresses(net: int) -> list[str]:
    return [f"10.0.{net}.{i}" for i in range(KEYS)]


class Load:
    """One client for each node. `sent`, `passed`: by key. `seconds`: what each check took, before a fault and from
    then on.
    """

    def __init__(self, nodes: Sequence[Node], keys: Sequence[str], path: str) -> None:
        self.nodes = nodes
        self.sent: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self._keys, self._path = keys, path
        self.seconds: tuple[list[float], list[float]] = ([], [])
        self.failures: list[str] = []
        self._faulty = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(node, i)) for i, node in enumerate(nodes)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def fault(self) -> None:
        """Some flushes later: what comes now is a fault."""
        flushed(*self.nodes)
        self._faulty = True

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, node: Node, at: int) -> None:
        with Client(f"127.0.0.1:{node.port}", timeout=5) as client:
            while not self._stop.is_set():
                key = self._keys[at % len(self._keys)]
                at += 7
                began = time.perf_counter()
                try:
                    allowed = client.check(Request(path=self._path, source_address=key)).allowed
                except Exception as error:  # whatever it is: no check may fail
                    self.failures.append(repr(error))
                    continue
                took = time.perf_counter() - began
                with self._lock:
                    self.seconds[self._faulty].append(took)
                    self.sent[key] += 1
                    self.passed[key] += allowed
                if not allowed and self._path == EVERYWHERE:
                    self.failures.append(f"{key} was denied")
                time.sleep(PAUSE)


@contextmanager
def load(nodes: Sequence[Node], net: int = 0, path: str = EVERYWHERE, keys: int = KEYS) -> Iterator[Load]:
    """Checks to all nodes until the end of the block. Then every one must have been answered, and have passed where no
    limit is near, and none have waited: whatever waits for a store that is cut off waits for a second.

    Tests that share nodes have each a net of their own.
    """
    made = Load(nodes, addresses(net)[:keys], path)
    made.start()
    try:
        yield made
        flushed(*nodes)
        eventually(lambda: sum(map(len, made.seconds)) > 100, "some load")
    finally:
        made.stop()
    assert made.failures == []
    before, after = (sorted(seconds) for seconds in made.seconds)
    if after:
        usual, since = (seconds[len(seconds) * 99 // 100] for seconds in (before, after))
        assert since < max(NOISE, 10 * usual), f"p99 was {usual:.4f} s, and is {since:.4f} s under the fault"
    assert max(before + after) < WAITED, "a check waited for the store"


def audit(nodes: Sequence[Node], sent: Counter[str], limit: str = "audited") -> None:
    """Every node comes to know exactly what all were asked. A node hears of a key when it is asked for it, so it is."""

    def wrong(node: Node) -> Iterator[tuple[str, int, int]]:
        return ((key, known, sent[key]) for key in sent if (known := node.used(limit, key)) != sent[key])

    for node in nodes:
        for _ in range(ROUNDS):
            for key in sent:
                sent[key] += node.ask(ip=key)
            with suppress(AssertionError):
                eventually(lambda n=node: next(wrong(n), None) is None, "a node that knows all", 2)
                break
        assert list(wrong(node)) == [], f"node {nodes.index(node)}: (key, known, asked) where they differ"
