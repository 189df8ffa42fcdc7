"""A pattern as two: what begins with a letter, and what does not.

Hyperscan skips fast over text without a byte that could begin a match, and finds words that begin one fast, but a
pattern that begins with a word or with a separator gets neither.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from ratelimitd.waf.regex.nodes import Alt, Bytes, Node, Repeat, Seq, alt, byte_set, seq
from ratelimitd.waf.regex.parse import WORD

_COMMON = WORD | byte_set(b" ", (0x80, 0xFF))


def first_bytes(node: Node) -> tuple[int, bool]:
    """Of a loosened tree, the bytes that a match can begin with, and whether it can be empty."""
    if isinstance(node, Bytes):
        return node.mask, False
    if isinstance(node, Seq):
        mask = 0
        for part in node.parts:
            found, empty = first_bytes(part)
            mask |= found
            if not empty:
                return mask, False
        return mask, True
    if isinstance(node, Alt):
        found_in = [first_bytes(branch) for branch in node.branches]
        return reduce(or_, (mask for mask, _ in found_in)), any(empty for _, empty in found_in)
    if isinstance(node, Repeat):
        mask, empty = first_bytes(node.item)
        return mask, empty or node.low == 0
    return 0, True


def by_head(node: Node) -> list[Node]:
    """One or two trees that together match what `node` does."""
    if isinstance(node, Seq) and node.parts:
        return [seq([part, *node.parts[1:]]) for part in by_head(node.parts[0])]
    if not isinstance(node, Alt):
        return [node]
    groups: dict[bool, list[Node]] = {}
    for branch in node.branches:
        mask, empty = first_bytes(branch)
        groups.setdefault(not empty and bool(mask & _COMMON), []).append(branch)
    return [alt(branches) for branches in groups.values()]
