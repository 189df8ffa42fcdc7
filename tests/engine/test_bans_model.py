"""Random histories of denials, bans and pardons: the engine knows what the model knows. And workers do not disagree."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.policy import load_text
from tests.model.bans import Penalty

START = 1_800_000_000_000
POLICY = """
version: 1
domain: shop
limits: {none: {match: {path: /deny}, key: [], limit: 0, window: 1s}}
penalties: {p: {key: client.ip, after: {denials: 3, within: 10s}, ban: [20s, 60s, 3m], forgive: 2m}}
"""


def engine(**options: Any) -> Engine:
    made = Engine(sample=0, denials_per_second=0, **options)
    made.swap(load_text(POLICY).plan)
    return made


@pytest.mark.parametrize("seed", range(6))
def test_histories(seed: int) -> None:
    choose = random.Random(seed)
    made, model = engine(), Penalty(3, 10_000, (20_000, 60_000, 180_000), 120_000)
    now = START
    for _ in range(4000):
        now += choose.choice((0, 1, 500, 2000, 9000, 9000, 31_000, 125_000) if choose.random() < 0.3 else (0, 100))
        key = f"10.0.0.{choose.randrange(4)}"
        what = choose.random()
        if what < 0.04:
            length = choose.choice((1, 5000, 300_000))
            made.ban("shop", "p", [key], length, now_ns=now * 1_000_000)
            model.ban(key, now, length)
        elif what < 0.07:
            made.unban("shop", "p", [key], now_ns=now * 1_000_000)
            model.lift(key, now)
        else:
            path = "/deny" if choose.random() < 0.6 else "/else"
            verdict = made.check({"path": path, "source_address": key}, now_ns=now * 1_000_000)
            assert (verdict["reason"] == "penalty") == model.banned(key, now), (seed, now - START)
            if path == "/deny":
                model.deny(key, now)
        told = {row["key"]: (row["until_ms"], row["level"]) for row in made.bans(now_ns=now * 1_000_000)}
        known = {name: model.remembered(name, now) for name in model.known}
        assert told == {n: (k.until, model.level(k, now)) for n, k in known.items() if k is not None and k.until > now}


def test_a_crowd_stays_within_the_cap() -> None:
    """Whatever happens, the table holds no more than it may, and every banned key that it lists is banned."""
    choose = random.Random(7)
    made = engine(max_bans=50)
    now = START
    for _ in range(3000):
        now += choose.choice((0, 1, 200, 5000))
        made.ban(
            "shop",
            "p",
            [f"10.0.{choose.randrange(2)}.{choose.randrange(100)}"],
            choose.choice((1, 400_000)),
            now_ns=now * 10**6,
        )
        if choose.random() < 0.1:
            for row in made.bans(now_ns=now * 10**6):
                verdict = made.check({"path": "/else", "source_address": row["key"]}, now_ns=now * 10**6)
                assert verdict["reason"] == "penalty"
    stats = made.stats()["bans"]
    assert stats["records"] <= 50
    assert stats["evicted"] > 0


def test_a_worker_and_people_at_once() -> None:
    """A worker bans without the interpreter lock while people ban, list and lift."""
    made = engine(max_bans=1000)
    stop = threading.Event()

    def people() -> None:
        turn = 0
        while not stop.is_set():
            key = f"10.1.{turn % 3}.{turn % 50}"
            made.ban("shop", "p", [key], 5)
            made.bans(10)
            made.ban_events(10)
            made.unban("shop", "p", [key])
            made.stats()
            turn += 1

    threads = [threading.Thread(target=people) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        made.bench({"path": "/deny", "source_address": f"10.2.0.{turn}"}, 20_000)
    stop.set()
    for thread in threads:
        thread.join()
    assert made.stats()["penalties"] == [{"domain": "shop", "penalty": "p", "bans": 40}]
    assert {row["level"] for row in made.bans() if row["key"].startswith("10.2.")} == {1}
