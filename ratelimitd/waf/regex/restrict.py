"""What is left of a pattern on texts of certain bytes only.

For a text x whose bytes are all in A: x matches R exactly when x matches restrict(R, A). What is left is often small,
or nothing at all: a database for plain words needs only a few of the rules.
"""

from __future__ import annotations

from ratelimitd.waf.regex.nodes import (
    EMPTY,
    NOTHING,
    Alt,
    Anchor,
    Atomic,
    Bytes,
    Group,
    Look,
    Node,
    Repeat,
    Seq,
    alt,
    repeat,
    seq,
)

_NEWLINE = 1 << 10
_WITHOUT_NEWLINE = {
    Anchor.LINE_START: Anchor.START,
    Anchor.LINE_END: Anchor.END,
    Anchor.END_LINE: Anchor.END,
}


def restrict(node: Node, allowed: int) -> Node:
    """`allowed` is a set of bytes; NOTHING when no text of those bytes can match."""
    if isinstance(node, Bytes):
        return Bytes(node.mask & allowed)
    if isinstance(node, Seq):
        return seq(restrict(part, allowed) for part in node.parts)
    if isinstance(node, Alt):
        return alt(restrict(branch, allowed) for branch in node.branches)
    if isinstance(node, Repeat):
        return repeat(restrict(node.item, allowed), node.low, node.high)
    if isinstance(node, Group | Atomic):
        inner = restrict(node.item, allowed)
        return NOTHING if inner == NOTHING else Group(inner, node.number) if isinstance(node, Group) else Atomic(inner)
    if isinstance(node, Look):
        return _look(node, restrict(node.item, allowed))
    if isinstance(node, Anchor) and not allowed & _NEWLINE:
        return _WITHOUT_NEWLINE.get(node, node)
    return node


def _look(node: Look, inner: Node) -> Node:
    if inner == NOTHING:
        return EMPTY if node.negative else NOTHING
    return Look(inner, node.ahead, node.negative)


def possible(node: Node, allowed: int) -> bool:
    """Whether a text of `allowed` bytes only might match; True when unsure."""
    return restrict(node, allowed) != NOTHING
