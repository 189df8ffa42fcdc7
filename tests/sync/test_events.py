"""Bans and resets travel between engines through a real Redis."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from ratelimitd._engine import Engine
from ratelimitd.policy import load_text
from ratelimitd.sync import events
from ratelimitd.sync.events import Events, read
from ratelimitd.sync.layout import Layout

POLICY = """
version: 1
domain: shop
limits: {login: {match: {path: /login}, key: client.ip, limit: 1, window: 1h}}
penalties: {brute: {key: client.ip, after: {denials: 1, within: 1m}, ban: [10m, 1h]}}
"""
SECRET = bytes(range(16))
NAMES = ("{p}:events", "{p}:events:order", "{p}:events:ends")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("redis")
    path = place / "s"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(place)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield path
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def store(server: Path) -> Iterator[redis.Redis]:
    client = redis.Redis(unix_socket_path=str(server))
    client.flushall()
    client.script_flush()
    yield client
    client.close()


class Node:
    """An engine and its exchange."""

    def __init__(self, number: int, most: int = 100_000, **options: Any) -> None:
        self.engine = Engine(sample=0, hash_key=SECRET, **options)
        self.engine.sync_start(number)
        self.engine.swap(load_text(POLICY).plan)
        self.events = Events(self.engine, Layout("p"), number, most)

    def ban(self, key: str, milliseconds: int = 60_000) -> None:
        assert self.engine.ban("shop", "brute", [key], milliseconds)

    def unban(self, key: str) -> None:
        assert self.engine.unban("shop", "brute", [key])

    def banned(self) -> set[str]:
        return {row["key"] for row in self.engine.bans(100_000)}

    def used(self, key: str) -> int:
        found = self.engine.lookup("shop", "login", [key])
        return found["used"] if found else 0

    def ask(self, key: str) -> str:
        return str(self.engine.check({"path": "/login", "source_address": key})["reason"])


Exchange = Callable[..., None]


@pytest.fixture
def exchange(server: Path, store: redis.Redis) -> Exchange:
    def run(*nodes: Node, master: str = "a") -> None:
        async def turn() -> None:
            async with redis.asyncio.Redis(unix_socket_path=str(server)) as client:
                for node in nodes:
                    await node.events.exchange(client, master, time.time_ns() // 1_000_000)

        asyncio.run(turn())

    return run


def test_a_ban_and_its_end_are_heard_by_others(exchange: Exchange) -> None:
    one, two = Node(1), Node(2)
    one.ask("10.0.0.1")
    assert one.ask("10.0.0.1") == "over_limit"
    exchange(one, two)
    assert two.ask("10.0.0.1") == "penalty"
    assert two.engine.bans() == one.engine.bans()
    two.unban("10.0.0.1")
    exchange(two, one)
    assert one.banned() == set()
    one.ban("10.0.0.1")
    exchange(one, two)
    assert two.banned() == {"10.0.0.1"}


def test_a_node_that_starts_hears_all_that_still_counts(exchange: Exchange) -> None:
    one = Node(1)
    for number in range(2500):
        one.ban(f"10.0.{number // 256}.{number % 256}")
    exchange(one)
    late = Node(2)
    exchange(late)
    assert len(late.banned()) == 2500
    assert late.engine.ban_events() == []  # it tells nobody what it heard
    assert late.events.told == 0


def test_what_the_store_forgot_is_told_again(exchange: Exchange, store: redis.Redis) -> None:
    one, two = Node(1), Node(2)
    one.ban("10.0.0.1")
    two.ban("10.0.0.2")
    exchange(one, two, one)
    store.flushall()
    two.ban("10.0.0.3")
    exchange(one, two, one, two)
    late = Node(3)
    exchange(late)
    everyone = {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert one.banned() == two.banned() == late.banned() == everyone


def test_a_replica_that_lacks_the_last_writes(exchange: Exchange, store: redis.Redis) -> None:
    """The text is the same, and so may be the numbers: who the master is tells."""
    one, two = Node(1), Node(2)
    one.ban("10.0.0.1")
    exchange(one, two)
    before = {name: store.dump(name) for name in NAMES}
    one.ban("10.0.0.2")
    exchange(one)
    store.flushall()
    for name, data in before.items():
        assert isinstance(data, bytes)
        store.restore(name, 60_000, data)
    two.ban("10.0.0.3")
    exchange(two, one, two, master="b")
    exchange(one, master="b")
    assert one.banned() == two.banned() == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}


def test_a_store_that_went_back_is_noticed(exchange: Exchange, store: redis.Redis) -> None:
    one, two = Node(1), Node(2)
    one.ban("10.0.0.1")
    exchange(one, two)
    before = {name: store.dump(name) for name in NAMES}
    one.ban("10.0.0.2")
    exchange(one)
    store.flushall()
    for name, data in before.items():
        assert isinstance(data, bytes)
        store.restore(name, 60_000, data)
    exchange(one, two)
    assert two.banned() == {"10.0.0.1", "10.0.0.2"}


def test_nothing_is_lost_when_an_exchange_fails(exchange: Exchange) -> None:
    class Failing:
        async def evalsha(self, *arguments: Any) -> Any:
            raise redis.ConnectionError("gone")

        async def script_load(self, script: str) -> Any:
            raise AssertionError

    class Nonsense(Failing):
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        async def evalsha(self, *arguments: Any) -> Any:
            return self.answer

    one, two = Node(1), Node(2)
    one.ban("10.0.0.1")
    one.engine.reset("shop", "login", ["10.0.0.9"])
    with pytest.raises(redis.ConnectionError):
        asyncio.run(one.events.exchange(Failing(), "a", 0))
    for answer in (None, b"OK", [], [b"t", b"x", 0], [1, 2, 3], [b"t", None, 0]):
        with pytest.raises((ValueError, TypeError)):
            asyncio.run(one.events.exchange(Nonsense(answer), "a", 0))
    exchange(one, two)
    assert two.banned() == {"10.0.0.1"}


def test_a_reset_is_heard_once_and_not_by_who_made_it(exchange: Exchange) -> None:
    one, two = Node(1), Node(2)
    exchange(one, two)
    for node in (one, two):
        node.ask("10.0.0.1")
    one.engine.reset("shop", "login", ["10.0.0.1"])
    exchange(one)
    one.ask("10.0.0.1")
    exchange(one, two)
    assert (one.used("10.0.0.1"), two.used("10.0.0.1")) == (1, 0)
    two.ask("10.0.0.1")
    exchange(two)
    assert two.used("10.0.0.1") == 1


def test_a_node_that_starts_hears_no_resets_of_before(exchange: Exchange) -> None:
    one = Node(1)
    one.engine.reset("shop", "login", ["10.0.0.1"])
    exchange(one)
    two = Node(2)
    two.ask("10.0.0.1")
    exchange(two)
    assert two.used("10.0.0.1") == 1


def test_the_store_holds_no_more_than_it_should(exchange: Exchange, store: redis.Redis) -> None:
    one = Node(1, most=100)
    for number in range(400):
        one.ban(f"10.0.{number // 256}.{number % 256}", 60_000 + number)
    for _ in range(3):
        exchange(one)
    assert store.zcard(NAMES[1]) == store.zcard(NAMES[2]) == 100
    assert store.hlen(NAMES[0]) == 102
    kept = {f"10.0.{number // 256}.{number % 256}" for number in range(300, 400)}  # those that last longest
    late = Node(2)
    exchange(late)
    assert late.banned() == kept
    for name in NAMES:
        assert 86_000_000 < store.pttl(name) < 200_000_000  # type: ignore[operator]


def test_what_says_nothing_any_more_leaves_the_store(exchange: Exchange, store: redis.Redis) -> None:
    one = Node(1)
    one.engine.reset("shop", "login", ["10.0.0.1"])
    exchange(one)
    assert store.zcard(NAMES[1]) == 1

    async def later() -> None:
        async with redis.asyncio.Redis(unix_socket_path=str(store.connection_pool.connection_kwargs["path"])) as client:
            await one.events.exchange(client, "a", time.time_ns() // 1_000_000 + events.RESET_MS + 1)

    asyncio.run(later())
    assert store.zcard(NAMES[1]) == store.zcard(NAMES[2]) == 0


def test_nodes_agree_whoever_is_first(exchange: Exchange) -> None:
    one, two = Node(1), Node(2)
    for round_ in range(20):
        a, b = (one, two) if round_ % 2 else (two, one)
        key = f"10.0.0.{round_}"
        a.ban(key, 60_000 + round_)
        b.ban(key, 90_000 - round_)
        if round_ % 3 == 0:
            b.unban(key)
    exchange(one, two, one, two)
    assert sorted(one.engine.bans(), key=str) == sorted(two.engine.bans(), key=str)


def test_what_is_no_account_is_passed_over(exchange: Exchange, store: redis.Redis) -> None:
    one = Node(1)
    one.ban("10.0.0.1")
    good = events.ban_account(one.engine.ban_events()[0]).body
    odd = [b"", b"{", b"[]", b"7", b"{}", b'{"ban": 1}', b'{"ban": {}}', good.replace(b'"level":', b'"level":"x","y":')]
    odd += [good.replace(b'"domain":"shop"', b'"domain":7'), b'{"reset": {}, "node": 1}', b'{"ban": {"digest": "zz"}}']
    odd += [
        good[:-9],
        b" " * 3000 + good,
        b'{"node": 1, "reset": {"domain": "d", "limit": "l", "digest": "00"}}',
        None,
        7,
    ]
    heard = read([*odd, good])
    assert len(heard.bans) == 1
    assert len(heard.resets) == 1
    assert not one.engine.reset_apply("d", "l", b"\0")
