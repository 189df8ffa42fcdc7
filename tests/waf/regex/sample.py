"""Texts that a tree probably matches: assertions are not looked at, so an oracle must say."""

from __future__ import annotations

import random

from ratelimitd.waf.regex.nodes import Alt, Atomic, Back, Bytes, Group, Node, Repeat, Seq, byte_set, members

MAX_TEXT = 4_000
_PRINTED = byte_set((0x20, 0x7E))


def sample(node: Node, rng: random.Random) -> bytes:
    out = bytearray()
    _sample(node, rng, out, {})
    return bytes(out)


def _sample(node: Node, rng: random.Random, out: bytearray, groups: dict[int, bytes]) -> None:
    if isinstance(node, Bytes):
        often = node.mask & _PRINTED if rng.random() < 0.9 else node.mask
        out.append(rng.choice(members(often or node.mask)))
    elif isinstance(node, Seq):
        for part in node.parts:
            _sample(part, rng, out, groups)
    elif isinstance(node, Alt):
        _sample(rng.choice(node.branches), rng, out, groups)
    elif isinstance(node, Repeat):
        extra = rng.choice((0, 0, 0, 1, 1, 2, 3)) if len(out) < MAX_TEXT else 0
        times = node.low + extra if node.high is None else min(node.low + extra, node.high)
        for _ in range(times):
            _sample(node.item, rng, out, groups)
    elif isinstance(node, Group):
        start = len(out)
        _sample(node.item, rng, out, groups)
        groups[node.number] = bytes(out[start:])
    elif isinstance(node, Atomic):
        _sample(node.item, rng, out, groups)
    elif isinstance(node, Back):
        out += groups.get(node.number, b"")
