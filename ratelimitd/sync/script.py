"""The scripts that exchange counts (flush.lua) and grants (lease.lua), and their arguments."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from ratelimitd.sync.layout import Layout, expires_at_ms

if TYPE_CHECKING:
    from ratelimitd._engine import Packed

GENERATION_MS = 86_400_000  # renewed by every flush
SLIDING = -2  # parts of a group of leases whose span before counts too

Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    text: str
    sha: str  # what Redis calls it


def _script(name: str) -> Script:
    text = (files("ratelimitd.sync") / name).read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


FLUSH = _script("flush.lua")
LEASE = _script("lease.lua")


def script_of(packed: Packed) -> Script:
    """Groups of leases come apart from those of counts."""
    return LEASE if packed[1][0][1] < 0 else FLUSH


def arguments(layout: Layout, node: int, fresh: str, packed: Packed) -> list[Argument]:
    """What follows EVALSHA, or EVAL, of FLUSH. fresh: text for a generation, if the shard has none."""
    shard, groups = packed
    keys: list[Argument] = [layout.generations[shard]]
    values: list[Argument] = [node, fresh, GENERATION_MS]
    for window_ms, parts, number, records in groups:
        keys.append(layout.counts(shard, window_ms, parts, number))
        values += (expires_at_ms(window_ms, parts, number), records)
    return [len(keys), *keys, *values]


def lease_arguments(layout: Layout, node: int, call: int, packed: Packed) -> list[Argument]:
    """The same of LEASE. call: higher each time that this node calls for this shard."""
    shard, groups = packed
    keys: list[Argument] = []
    values: list[Argument] = [node, call]
    for window_ms, parts, number, records in groups:
        keys += (layout.leases(shard, window_ms, parts, at) for at in (number, number - 1, number + 1))
        values += (expires_at_ms(window_ms, 1, number), window_ms, number, int(parts == SLIDING), records)
    return [len(keys), *keys, *values]
