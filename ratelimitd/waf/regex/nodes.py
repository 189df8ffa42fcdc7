"""The tree of a pattern: immutable, hashable nodes over sets of bytes.

A set of bytes is an int of 256 bits, bit b for byte b. The constructors in lower case keep trees small: they flatten,
drop what matches only the empty text, and let NOTHING (which never matches) swallow what it is part of. They keep the
set of texts that a tree matches, not the order in which alternatives are tried: greed, laziness, atomic groups and
possessive repeats are noted by the parser only as far as they matter to that set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

ALL = (1 << 256) - 1


class Anchor(Enum):
    """A place in the text; LINE_* are `^` and `$` under (?m), END_LINE is `\\Z` (and `$` without m)."""

    START = "start"
    END = "end"
    END_LINE = "end_line"
    LINE_START = "line_start"
    LINE_END = "line_end"
    SEARCH_START = "search_start"  # \G
    WORD = "word"  # \b
    NOT_WORD = "not_word"  # \B


@dataclass(frozen=True, slots=True)
class Bytes:
    """One byte of a set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Seq:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item` at least `low` and at most `high` times; None is no bound."""

    item: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A capturing group, numbered from 1."""

    item: Node
    number: int


@dataclass(frozen=True, slots=True)
class Atomic:
    """(?>...) and possessive repeats: matches no more than `item`, perhaps less."""

    item: Node


@dataclass(frozen=True, slots=True)
class Look:
    item: Node
    ahead: bool
    negative: bool


@dataclass(frozen=True, slots=True)
class Back:
    """What group `number` matched, with `fold` in either case."""

    number: int
    fold: bool


Node: TypeAlias = Bytes | Seq | Alt | Repeat | Group | Atomic | Look | Back | Anchor

EMPTY = Seq(())
NOTHING = Bytes(0)
ANY = Bytes(ALL)


def byte_set(*items: int | bytes | tuple[int, int]) -> int:
    """A set from bytes, single byte values and inclusive ranges."""
    mask = 0
    for item in items:
        if isinstance(item, int):
            mask |= 1 << item
        elif isinstance(item, tuple):
            mask |= (1 << (item[1] + 1)) - (1 << item[0])
        else:
            for byte in item:
                mask |= 1 << byte
    return mask


def members(mask: int) -> list[int]:
    return [byte for byte in range(256) if mask >> byte & 1]


_UPPER = byte_set((0x41, 0x5A))
_LOWER = byte_set((0x61, 0x7A))


def fold_case(mask: int) -> int:
    """The set with both cases of its ASCII letters."""
    return mask | (mask & _UPPER) << 32 | (mask & _LOWER) >> 32


def literal(text: bytes) -> Node:
    return seq(Bytes(1 << byte) for byte in text)


def seq(parts: Iterable[Node]) -> Node:
    flat: list[Node] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Seq) else (part,):
            if piece == NOTHING:
                return NOTHING
            if flat and (joined := _joined(flat[-1], piece)) is not None:
                flat[-1] = joined
            else:
                flat.append(piece)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def _joined(left: Node, right: Node) -> Node | None:
    """A*A+ is A+, and A*B? is A* where B is part of A: of two repeats of one byte, where one swallows the other."""
    if not (isinstance(left, Repeat) and isinstance(right, Repeat)):
        return None
    if not (isinstance(left.item, Bytes) and isinstance(right.item, Bytes)):
        return None
    if left.item == right.item:
        return Repeat(left.item, left.low + right.low, None) if left.high is None or right.high is None else None
    if left.high is None and right.low == 0 and right.item.mask & ~left.item.mask == 0:
        return left
    if right.high is None and left.low == 0 and left.item.mask & ~right.item.mask == 0:
        return right
    return None


def alt(branches: Iterable[Node]) -> Node:
    """Branches in order, each once; those of one byte become one set."""
    flat: dict[Node, None] = {}
    single = 0
    first = None
    for branch in branches:
        for piece in branch.branches if isinstance(branch, Alt) else (branch,):
            if isinstance(piece, Bytes):
                single |= piece.mask
                if single and first is None:
                    first = len(flat)
            else:
                flat[piece] = None
    found = list(flat)
    if first is not None:
        found.insert(first, Bytes(single))
    if not found:
        return NOTHING
    if EMPTY in found:
        found.remove(EMPTY)
        return repeat(alt(found), 0, 1)
    return found[0] if len(found) == 1 else Alt(tuple(found))


def repeat(item: Node, low: int, high: int | None) -> Node:
    if high == 0 or item == EMPTY:
        return EMPTY
    if item == NOTHING:
        return NOTHING if low else EMPTY
    if (low, high) == (1, 1):
        return item
    if isinstance(item, Repeat):
        if item.high is None and item.low <= 1:  # (A*){n,m} and (A+){n,m}
            return Repeat(item.item, min(low, 1) * item.low if item.low == 0 else low, None)
        if (item.low, item.high) == (0, 1):  # (A?){n,m}
            return Repeat(item.item, 0, high)
    return Repeat(item, low, high)


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Seq):
        return node.parts
    if isinstance(node, Alt):
        return node.branches
    if isinstance(node, Repeat | Group | Atomic | Look):
        return (node.item,)
    return ()


def weight(node: Node) -> int:
    """How many byte positions a tree has, repeats with bounds counted out: roughly the states it compiles to."""
    if isinstance(node, Bytes):
        return 1
    total = sum(weight(child) for child in children(node))
    if isinstance(node, Repeat):
        return total * max(node.low, node.high or 1, 1)
    return total
