"""The erasing gate: one look at a text without its evasion bytes.

Let f(x) be x with all bytes of a set E removed. Every byte that a text loses, its pattern may lose as well: a set C
becomes C - E, and optional if it had bytes of E. So if x matches R then f(x) matches erase(R, E), by induction over R,
since f(xy) = f(x)f(y). A pattern that allows quotes and backslashes between any two letters of a command becomes the
command, small and fast; only what it hits is worth the pattern itself.

Anchors: the begin of x is the begin of f(x), and so with the ends. After a newline of x there is one in f(x) as long as
E has no newline; else ^ and $ mean nothing any more. What stood next to a word boundary may be gone: it means nothing.
"""

from __future__ import annotations

from ratelimitd.waf.regex.loosen import loosen
from ratelimitd.waf.regex.nodes import EMPTY, Alt, Anchor, Bytes, Node, Repeat, Seq, alt, repeat, seq

_NEWLINE = 1 << 10
_LINES = (Anchor.LINE_START, Anchor.LINE_END, Anchor.END_LINE)


def erase(node: Node, erased: int) -> Node:
    """What f(x) matches for every x that matches `node`; `erased` is the set E."""
    return _erase(loosen(node), erased)


def _erase(node: Node, erased: int) -> Node:
    if isinstance(node, Bytes):
        kept = Bytes(node.mask & ~erased)
        return repeat(kept, 0, 1) if node.mask & erased else kept
    if isinstance(node, Seq):
        return seq(_erase(part, erased) for part in node.parts)
    if isinstance(node, Alt):
        return alt(_erase(branch, erased) for branch in node.branches)
    if isinstance(node, Repeat):
        return repeat(_erase(node.item, erased), node.low, node.high)
    if node in (Anchor.WORD, Anchor.NOT_WORD) or (erased & _NEWLINE and node in _LINES):
        return EMPTY
    return node
