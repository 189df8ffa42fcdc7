"""The script that exchanges counts (flush.lua), and its arguments."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from ratelimitd.sync.layout import Layout, expires_at_ms

if TYPE_CHECKING:
    from ratelimitd._engine import Packed

TEXT = (files("ratelimitd.sync") / "flush.lua").read_text()
SHA = hashlib.sha1(TEXT.encode(), usedforsecurity=False).hexdigest()  # what Redis calls it
GENERATION_MS = 86_400_000  # renewed by every flush

Argument = str | bytes | int


def arguments(layout: Layout, node: int, fresh: str, packed: Packed) -> list[Argument]:
    """What follows EVALSHA SHA, or EVAL TEXT. fresh: text for a generation, if the shard has none."""
    shard, groups = packed
    keys: list[Argument] = [layout.generations[shard]]
    values: list[Argument] = [node, fresh, GENERATION_MS]
    for window_ms, parts, number, records in groups:
        keys.append(layout.counts(shard, window_ms, parts, number))
        values += (expires_at_ms(window_ms, parts, number), records)
    return [len(keys), *keys, *values]
