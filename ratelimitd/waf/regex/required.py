"""What every match must have: bytes of certain sets, and a length."""

from __future__ import annotations

from ratelimitd.waf.regex.nodes import ALL, Alt, Atomic, Bytes, Group, Node, Repeat, Seq

MAX_SETS = 8


def required(node: Node) -> tuple[int, ...]:
    """Sets of bytes, smallest first and MAX_SETS at most: each match holds a byte of every one of them."""
    if isinstance(node, Bytes):
        return (node.mask,) if node.mask != ALL else ()
    if isinstance(node, Seq):
        return _smallest({mask for part in node.parts for mask in required(part)})
    if isinstance(node, Alt):
        sets = required(node.branches[0])
        for branch in node.branches[1:]:
            others = required(branch)
            sets = _smallest({one | other for one in sets for other in others} - {ALL})
        return sets
    if isinstance(node, Group | Atomic) or (isinstance(node, Repeat) and node.low):
        return required(node.item)
    return ()


def _smallest(sets: set[int]) -> tuple[int, ...]:
    """Without those that hold another one: they say nothing more."""
    kept: list[int] = []
    for mask in sorted(sets, key=lambda mask: (mask.bit_count(), mask)):
        if len(kept) < MAX_SETS and not any(other & ~mask == 0 for other in kept):
            kept.append(mask)
    return tuple(kept)


def least_length(node: Node) -> int:
    """Bytes that a match has at least."""
    if isinstance(node, Bytes):
        return 1
    if isinstance(node, Seq):
        return sum(map(least_length, node.parts))
    if isinstance(node, Alt):
        return min(map(least_length, node.branches))
    if isinstance(node, Group | Atomic):
        return least_length(node.item)
    return node.low * least_length(node.item) if isinstance(node, Repeat) else 0
