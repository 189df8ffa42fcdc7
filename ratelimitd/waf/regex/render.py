"""From a tree to a pattern that Hyperscan reads, under the flags DOTALL and MULTILINE and without CASELESS.

Every set is written out, so that no escape means one thing here and another there (`\\s` and \\x0b, POSIX classes).
A tree that takes either case of every letter begins with (?i): Hyperscan bounds the length of what it is given.
"""

from __future__ import annotations

from ratelimitd.waf.regex.nodes import (
    ALL,
    Alt,
    Anchor,
    Atomic,
    Bytes,
    Group,
    Node,
    Repeat,
    Seq,
    byte_set,
    children,
    fold_case,
)

_ANCHORS = {
    Anchor.START: b"\\A",
    Anchor.END: b"\\z",
    Anchor.END_LINE: b"\\Z",
    Anchor.LINE_START: b"^",
    Anchor.LINE_END: b"$",
    Anchor.WORD: b"\\b",
    Anchor.NOT_WORD: b"\\B",
}
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ ,;:=<>/!@%&\"'`~#")


class UnrenderableError(ValueError):
    """A tree with what Hyperscan has no words for: lookarounds, references, atomic groups, \\G."""


_UPPER = byte_set((0x41, 0x5A))


def render(node: Node) -> bytes:
    """The pattern; raises UnrenderableError (loosen removes what it names)."""
    caseless = _caseless(node)
    out = [b"(?i)"] if caseless else []
    _write(node, out, _UPPER if caseless else 0)
    return b"".join(out)


def _caseless(node: Node) -> bool:
    if isinstance(node, Bytes):
        return fold_case(node.mask) == node.mask
    return all(map(_caseless, children(node)))


def _write(node: Node, out: list[bytes], implied: int) -> None:
    if isinstance(node, Bytes):
        out.append(_set(node.mask, implied))
    elif isinstance(node, Seq):
        for part in node.parts:
            _write_atom(part, out, implied, isinstance(part, Alt))
    elif isinstance(node, Alt):
        for index, branch in enumerate(node.branches):
            out.append(b"|" if index else b"")
            _write(branch, out, implied)
    elif isinstance(node, Repeat):
        _write_atom(node.item, out, implied, isinstance(node.item, Alt | Seq | Repeat | Anchor))
        out.append(_bounds(node.low, node.high))
    elif isinstance(node, Group):
        _write_atom(node.item, out, implied, True)
    elif isinstance(node, Anchor) and node in _ANCHORS:
        out.append(_ANCHORS[node])
    else:
        raise UnrenderableError("an atomic group" if isinstance(node, Atomic) else type(node).__name__.lower())


def _write_atom(node: Node, out: list[bytes], implied: int, grouped: bool) -> None:
    if grouped:
        out.append(b"(?:")
    _write(node, out, implied)
    if grouped:
        out.append(b")")


def _bounds(low: int, high: int | None) -> bytes:
    short = {(0, None): b"*", (1, None): b"+", (0, 1): b"?"}.get((low, high))
    if short is not None:
        return short
    if high is None:
        return b"{%d,}" % low
    return b"{%d}" % low if low == high else b"{%d,%d}" % (low, high)


def _set(mask: int, implied: int) -> bytes:
    """`implied` are the bytes that the pattern need not name, because (?i) adds them."""
    if mask == ALL:
        return b"."
    if mask == 0:
        return b"[^\\x00-\\xff]"
    few = mask & ~implied
    if few.bit_count() == 1:
        return _byte(few.bit_length() - 1)
    if mask.bit_count() > 128:
        return b"[^" + _ranges((ALL ^ mask) & ~implied) + b"]"
    return b"[" + _ranges(few) + b"]"


def _ranges(mask: int) -> bytes:
    out = []
    while mask:
        low = (mask & -mask).bit_length() - 1
        run = mask >> low
        length = (run + 1 & ~run).bit_length() - 1
        last = low + length - 1
        out.append(_byte(low) if length == 1 else _byte(low) + (b"-" if length > 2 else b"") + _byte(last))
        mask &= ~(((1 << length) - 1) << low)
    return b"".join(out)


def _byte(byte: int) -> bytes:
    return bytes([byte]) if byte in _PLAIN else b"\\x%02x" % byte
