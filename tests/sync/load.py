"""Checks in the background, all of which must be answered and pass, and the audit of what became of them.

Limits are far away and windows long, so what a node knows of a key is exactly what all nodes were asked: more was
counted twice, less was lost.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ratelimitd.client import Client
from ratelimitd.client.request import Request

from .servers import Node, settle

KEYS = 60  # over as many shards, so over all masters
PAUSE = 0.002

POLICY = """\
version: 1
domain: shop
limits:
  audited: {key: client.ip, limit: 1000000, window: 24h, algorithm: fixed_window}
"""


def addresses(net: int) -> list[str]:
    return [f"10.0.{net}.{i}" for i in range(KEYS)]


class Load:
    """One client for each node. `sent`: by key, all of one net. `seconds`: what each check took."""

    def __init__(self, nodes: Sequence[Node], net: int) -> None:
        self.sent: Counter[str] = Counter()
        self._keys = addresses(net)
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(node, i)) for i, node in enumerate(nodes)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, node: Node, at: int) -> None:
        with Client(f"127.0.0.1:{node.port}", timeout=5) as client:
            while not self._stop.is_set():
                key = self._keys[at % KEYS]
                at += 7
                began = time.perf_counter()
                try:
                    allowed = client.check(Request(path="/", source_address=key)).allowed
                except Exception as error:  # whatever it is: no check may fail
                    self.failures.append(repr(error))
                    continue
                took = time.perf_counter() - began
                with self._lock:
                    self.seconds.append(took)
                    self.sent[key] += 1
                if not allowed:
                    self.failures.append(f"{key} was denied")
                time.sleep(PAUSE)


@contextmanager
def load(nodes: Sequence[Node], net: int = 0) -> Iterator[Load]:
    """Checks to all nodes until the end of the block. Then every one must have passed, and none have waited long.

    Tests that share nodes have each a net of their own.
    """
    made = Load(nodes, net)
    made.start()
    try:
        yield made
    finally:
        made.stop()
    assert made.failures == []
    assert len(made.seconds) > 100
    assert sorted(made.seconds)[len(made.seconds) * 99 // 100] < 0.25, (
        "some checks waited"
    )  # a store that hangs is waited for for 1 s


def audit(nodes: Sequence[Node], sent: Counter[str], rounds: int = 8) -> None:
    """Every node comes to know exactly what all were asked. A node hears of a key when it is asked for it, so it is."""
    for node in nodes:
        for _ in range(rounds):
            settle()
            for key in sent:
                sent[key] += node.ask(ip=key)
            settle()
            wrong = [(known, sent[key]) for key in sent if (known := node.used("audited", key)) != sent[key]]
            if not wrong:
                break
        assert not wrong, f"node {nodes.index(node)}: (known, asked) where they differ"
