"""Bans and resets on every node: what happened here is told to the store, what happened elsewhere is heard.

The store keeps the latest account of each key as long as it says something. A node that starts, was away for long, or
finds that the store lost data hears all of them, and tells its own again: there is no other way back, and none is
needed. Accounts carry their time, so it does not matter in what order or how often they are heard.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson
from redis.exceptions import NoScriptError

from ratelimitd._engine import Engine
from ratelimitd.sync.layout import Layout

if TYPE_CHECKING:
    from ratelimitd._engine import Ban, Reset

TEXT = (files("ratelimitd.sync") / "events.lua").read_text()
SHA = hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest()  # what Redis calls it
TOLD = 500  # accounts that are told in one call
HEARD = 1000  # ... and heard
TURNS = 20  # calls of one exchange, when there is more to tell or to hear
RESET_MS = 600_000  # how long a node may be away and still hear of a reset
CHANGED = b"?"  # no store has this text
RESET_FIELDS: dict[str, type] = {"domain": str, "limit": str, "digest": bytes}
BAN_FIELDS: dict[str, type] = {"domain": str, "penalty": str, "key": str, "digest": bytes}
BAN_FIELDS |= dict.fromkeys(("until_ms", "changed_ms", "quiet_ms", "forgive_ms", "level"), int)
MOST_BYTES = 2048  # of an account that is believed to be one


class Client(Protocol):
    """What is needed of redis.asyncio.Redis."""

    def evalsha(self, sha: Any, numkeys: int, /, *arguments: Any) -> Awaitable[Any]: ...
    def script_load(self, script: Any, /) -> Awaitable[Any]: ...


class Account(NamedTuple):
    """id: of whom. rank: of two accounts of one id the higher is true. end: ms when nobody needs it any more."""

    id: bytes
    rank: str
    end: int
    body: bytes


class Heard(NamedTuple):
    bans: list[Ban]
    resets: list[tuple[int, Reset]]  # and the node that they were made on


def rank(changed_ms: int, until_ms: int = 0, level: int = 0) -> str:
    """As the engine compares: the later, then the longer, then the higher."""
    return f"{changed_ms:015d}{until_ms:015d}{level:010d}"


def ban_account(ban: Ban) -> Account:
    forgiven = max(ban["until_ms"], ban["quiet_ms"]) + max(1, ban["level"]) * ban["forgive_ms"]
    body = orjson.dumps({"ban": {**ban, "digest": ban["digest"].hex()}})
    return Account(ban["digest"], rank(ban["changed_ms"], ban["until_ms"], ban["level"]), forgiven, body)


def reset_account(reset: Reset, node: int, now_ms: int) -> Account:
    body = orjson.dumps({"reset": {**reset, "digest": reset["digest"].hex()}, "node": node})
    return Account(b"r" + reset["digest"], rank(now_ms), now_ms + RESET_MS, body)


def read(bodies: Sequence[Any]) -> Heard:
    """What the store holds need not be ours, or of our version: what is no account is passed over."""
    heard = Heard([], [])
    for body in bodies:
        try:
            content = orjson.loads(body) if len(body) <= MOST_BYTES else {}
            if "ban" in content:
                heard.bans.append(_typed(BAN_FIELDS, content["ban"]))
            elif "reset" in content:
                heard.resets.append((int(content["node"]), _typed(RESET_FIELDS, content["reset"])))
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
    return heard


def _typed(fields: dict[str, type], content: dict[str, Any]) -> Any:
    """By type; the engine looks at the values."""
    found = {name: bytes.fromhex(content[name]) if name == "digest" else content[name] for name in fields}
    for name, kind in fields.items():
        if type(found[name]) is not kind:  # true is no number here
            raise TypeError(name)
    return found


@dataclass(slots=True)
class Events:
    """One node's side. `told` and `heard` count accounts that were new to the other side."""

    engine: Engine
    layout: Layout
    node: int
    most: int = 100_000  # accounts that the store keeps
    told: int = 0
    heard: int = 0
    _waiting: list[Account] = field(default_factory=list)  # fetched from the engine, not told yet
    _text: bytes = b""
    _last: int = 0
    _master: str = ""
    _catching_up: bool = True

    async def exchange(self, client: Client, master: str, now_ms: int) -> None:
        """Tells what is new and hears what is. Raises what redis-py raises, or ValueError for an answer that is none;
        nothing is lost then.

        `master`: which server this is. A promoted replica may lack the last writes: all is told and heard again.
        """
        if master != self._master and self._master:
            self._text, self._last = CHANGED, 0
        self._master = master
        for _ in range(TURNS):
            self._waiting = self._waiting or list(self._fetch(now_ms))
            reply = await self._call(client, now_ms)
            if not isinstance(reply, list) or len(reply) < 3 or not isinstance(reply[0], bytes):
                raise ValueError("the answer to an exchange of events is none")
            last, more = int(reply[1]), int(reply[2]) > 0
            untold = len(self._waiting) >= TOLD
            self.told += len(self._waiting)
            self._waiting = []
            if reply[0] != self._text or last < self._last:
                untold |= self._begin(reply[0])
            self._hear(reply[3:])
            self._last = last
            self._catching_up = self._catching_up and more
            if not more and not untold:
                return

    def _begin(self, text: bytes) -> bool:
        """The store is another than it was (then all has to be told again), or we have just met."""
        met = bool(self._text)
        if met:
            self.engine.ban_retell()
        self._text, self._catching_up = text, True
        return met

    def _fetch(self, now_ms: int) -> Iterator[Account]:
        yield from map(ban_account, self.engine.ban_events(TOLD))
        yield from (reset_account(reset, self.node, now_ms) for reset in self.engine.reset_events())

    async def _call(self, client: Client, now_ms: int) -> Any:
        events = self.layout.events
        arguments: list[str | bytes | int] = [events, f"{events}:order", f"{events}:ends"]
        arguments += [self._text, secrets.token_hex(8), self._last, now_ms, HEARD, self.most]
        for account in self._waiting:
            arguments += account
        try:
            return await client.evalsha(SHA, 3, *arguments)
        except NoScriptError:
            await client.script_load(TEXT)
            return await client.evalsha(SHA, 3, *arguments)

    def _hear(self, bodies: list[Any]) -> None:
        """From the start, resets are old: what they reset is gone, or was counted since."""
        found = read(bodies)
        self.heard += self.engine.ban_apply(found.bans)
        for node, reset in [] if self._catching_up else found.resets:
            if node != self.node:
                self.engine.reset_apply(reset["domain"], reset["limit"], reset["digest"])
                self.heard += 1
