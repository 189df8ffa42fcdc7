"""Which masters there are and which shards each has: one server, what Sentinels name, or the masters of a cluster.

Each master has a client of its own, and nothing is redirected inside a call: whoever is told MOVED asks again who the
masters are and sends next time. Flushes may be repeated, so that costs an interval and no count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from ratelimitd.sync.address import Address
from ratelimitd.sync.breaker import Breaker
from ratelimitd.sync.faults import StoreError, explain
from ratelimitd.sync.layout import SLOTS, Layout

OLDEST = (6, 2)  # its XADD knows MINID

Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in. Paths are empty when there is none; seconds bound each answer."""

    address: Address
    username: str | None = None
    password: str | None = None
    credentials: CredentialProvider | None = None
    ca: str = ""
    certificate: str = ""
    key: str = ""
    seconds: float = 1.0
    name: str = "ratelimitd"

    def arguments(self) -> dict[str, Any]:
        """For redis-py: every failure is ours to deal with, at once."""
        out: dict[str, Any] = {
            "socket_timeout": self.seconds,
            "socket_connect_timeout": self.seconds,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "client_name": self.name,
        }
        if self.credentials is not None:
            out["credential_provider"] = self.credentials
        else:
            out |= {"username": self.username, "password": self.password}
        if self.address.tls:
            out |= {"ssl": True, "ssl_ca_certs": self.ca or None}
            out |= {"ssl_certfile": self.certificate or None, "ssl_keyfile": self.key or None}
        return out


@dataclass(slots=True, eq=False)
class Master:
    """A server that may be written to, and what is known of its health. Times are of the monotonic clock."""

    name: str
    client: Redis
    shards: list[int]
    breaker: Breaker = field(default_factory=Breaker)
    run_id: str = ""  # of its process: behind Sentinels, or after a restart, another goes by the same name
    answered: float = 0.0  # when it last did
    flush_seconds: float = 0.0  # what the last flush took
    busy: bool = False
    due: set[int] = field(default_factory=set)  # shards to flush as soon as it is not busy, and ...
    early: float = 0.0  # ... not before then
    refuses: bool = False  # the last flush failed: that it tells the time means nothing
    trouble: str = ""  # its kind; "" while it answers


class Topology:
    """`masters` by name. All methods may raise what redis-py raises, or StoreError."""

    def __init__(self, access: Access, layout: Layout) -> None:
        self.mode = ""  # "single" | "sentinel" | "cluster" when connected
        self.version = ""
        self.masters: dict[str, Master] = {}
        self.stale = False  # somebody was told MOVED
        self._access = access
        self._layout = layout
        self._sentinel: Sentinel | None = None
        self._owners: list[tuple[int, int, str]] = []  # first slot, last slot, name of its master

    async def open(self) -> None:
        """Finds out what is there, from the first of the hosts that answers."""
        failures = []
        for host in self._access.address.hosts:
            try:
                await self._open(host)
                return
            except StoreError:
                raise
            except Exception as error:
                failures.append((f"{_name(host)}: {explain(error)[1]}", error))
        raise StoreError(explain(failures[0][1])[0], "; ".join(text for text, _ in failures)) from failures[0][1]

    async def _open(self, host: Host) -> None:
        client = self._client(host)
        try:
            info = await client.info("server")
            self.version = _version(info)
            mode = info.get("redis_mode")
            if mode == "sentinel":
                self._sentinel = self._sentinels()
                await self._follow_sentinels(client)
            elif mode == "cluster":
                await self._follow_slots(client, host)
            elif mode == "standalone":
                self._keep({_name(host): self._client(host, database=True)}, [(0, SLOTS - 1, _name(host))])
            else:
                raise StoreError("nonsense", f"{host[0]}:{host[1]} says that its mode is {mode!r}: is it a Redis?")
            self.mode = "single" if mode == "standalone" else mode
        finally:
            await client.aclose()

    async def refresh(self) -> None:
        """Looks again who the masters are; any that answers may tell. Nothing to do but for a cluster."""
        if self.mode != "cluster":
            self.stale = False
            return
        known = [_split(name) for name, master in self.masters.items() if not master.breaker.open]
        failure: Exception | None = None
        for host in dict.fromkeys([*known, *self._access.address.hosts]):
            client = self._client(host)
            try:
                await self._follow_slots(client, host)
                self.stale = False
                return
            except Exception as error:
                failure = error
            finally:
                await client.aclose()
        if failure is not None:
            raise failure

    def master(self, slot: int) -> Master | None:
        """None while nobody has the slot."""
        for first, last, name in self._owners:
            if first <= slot <= last:
                return self.masters[name]
        return None

    async def close(self) -> None:
        masters, self.masters, self._owners = self.masters, {}, []
        await _close(master.client for master in masters.values())

    def _client(self, host: Host, *, database: bool = False) -> Redis:
        path = self._access.address.path
        if database and path and not path.isdecimal():
            raise StoreError("settings", f"--redis: /{path} is no database's number, and {host[0]} is no Sentinel")
        number = int(path) if database and path else 0
        return Redis(host=host[0], port=host[1], db=number, **self._access.arguments())

    # Sentinels.

    def _sentinels(self) -> Sentinel:
        arguments = self._access.arguments()
        return Sentinel(  # type: ignore[no-untyped-call]
            list(self._access.address.hosts), sentinel_kwargs=arguments, **arguments
        )

    async def _follow_sentinels(self, client: Redis) -> None:
        service = self._access.address.path
        if not service:
            services = sorted(str(name) for name in await client.sentinel_masters())
            if len(services) != 1:
                raise StoreError("settings", f"--redis: which service? The Sentinels know {', '.join(services)}")
            service = services[0]
        assert self._sentinel is not None
        await self._sentinel.discover_master(service)
        self._keep({service: self._sentinel.master_for(service)}, [(0, SLOTS - 1, service)])

    # A cluster.

    async def _follow_slots(self, client: Redis, host: Host) -> None:
        owners = _owners(await client.execute_command("CLUSTER SLOTS"), host)  # type: ignore[no-untyped-call]
        if not owners:
            raise StoreError("down", "no slot of the cluster belongs to anybody: redis-cli --cluster create, or fix")
        clients = {}
        for _, _, owner in owners:
            name = _name(owner)
            clients[name] = self.masters[name].client if name in self.masters else self._client(owner)
        gone = [master.client for name, master in self.masters.items() if name not in clients]
        self._keep(clients, [(first, last, _name(owner)) for first, last, owner in owners])
        await _close(gone)

    def _keep(self, clients: dict[str, Redis], owners: list[tuple[int, int, str]]) -> None:
        """These are the masters now, and that is what each has. Who stays keeps what is known of it."""
        self._owners = owners
        now = time.monotonic()
        kept, self.masters = self.masters, {}
        for name, client in clients.items():
            master = kept.get(name) or Master(name, client, [], answered=now)
            master.shards = []
            self.masters[name] = master
        for shard, slot in enumerate(self._layout.slots):
            owner = self.master(slot)
            if owner is not None:
                owner.shards.append(shard)


def _owners(ranges: Any, asked: Host) -> list[tuple[int, int, Host]]:
    """First slot, last slot and master of each range of CLUSTER SLOTS.

    A server that does not know how it is called answers with an empty address, or with "?" when it should have a name
    and has none: it was reached at `asked`, so that will do.
    """
    owners = []
    try:
        for first, last, (address, port, *_), *_ in ranges:
            name = (address or b"").decode()
            owners.append((int(first), int(last), (asked[0] if name in ("", "?") else name, int(port))))
    except (TypeError, ValueError, AttributeError) as error:
        raise StoreError("nonsense", f"{_name(asked)} answers CLUSTER SLOTS with nonsense ({error})") from None
    return owners


def _name(host: Host) -> str:
    return f"{host[0]}:{host[1]}"


def _split(name: str) -> Host:
    host, _, port = name.rpartition(":")
    return host, int(port)


def _version(info: dict[str, Any]) -> str:
    """Raises StoreError when it is too old. Valkey says which Redis it is like."""
    text = str(info.get("redis_version", ""))
    numbers = [int(part) for part in text.split(".")[:2] if part.isdecimal()]
    if len(numbers) == 2 and tuple(numbers) < OLDEST:
        raise StoreError("version", f"the store is Redis {text}; from {OLDEST[0]}.{OLDEST[1]} on it will do")
    if len(numbers) != 2:
        raise StoreError("nonsense", f"the store says that it is Redis {text!r}: is it one?")
    return text


async def _close(clients: Iterable[Redis]) -> None:
    await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)
