"""Patterns that let an attacker write c"a\\t for cat, and gates for them that do not cost what they do.

Such a pattern has a gap, a starred set of punctuation, between any two letters of many words. It becomes
- `plain`, with gaps of erased bytes only: its erased form is the words as they are, fast to scan for;
- `cuts`, for gaps with anything else ($var, and bytes that plain needs as separators): beginnings of matches, which few
  texts have and which need a byte that few texts have.
A match of the pattern is a match of plain or of one of the cuts (shorten.py), and erasing loses none (erase.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ratelimitd.waf.regex.nodes import NOTHING, Alt, Bytes, Node, Repeat, Seq, byte_set, repeat, seq
from ratelimitd.waf.regex.parse import SPACE, WORD
from ratelimitd.waf.regex.shorten import MAX_GAP, MIN_COPIES, burden, gap, until, without

_NEVER_ERASED = WORD | SPACE | byte_set((0, 0x1F), (0x7F, 0xFF))


@dataclass(frozen=True, slots=True)
class Evasive:
    plain: Node
    cuts: tuple[Node, ...]


def erased_set(nodes: Iterable[Node]) -> int:
    """What to erase for all of these loosened trees: the bytes of their gaps, but for those that any needs to separate.

    Words run together without their separators, and then plain text looks like commands.
    """
    gaps = separators = 0
    for node in nodes:
        found = gap_bytes(node)
        gaps |= found
        separators |= _separators(node) if found else 0
    return gaps & ~separators


def gap_bytes(node: Node) -> int:
    """The bytes that a loosened tree allows between letters; 0 if it is not evasive."""
    found = gap(_unburdened(node))
    if found is None or not isinstance(found.item, Bytes) or found.item.mask & _NEVER_ERASED:
        return 0
    return found.item.mask


def _separators(node: Node) -> int:
    """Bytes of small sets that stand MIN_COPIES times where a byte must be."""
    copies = Counter(_needed(node))
    mask = 0
    for needed, count in copies.items():
        if count >= MIN_COPIES and 1 < needed.bit_count() <= MAX_GAP:
            mask |= needed
    return mask


def _needed(node: Node) -> Iterable[int]:
    if isinstance(node, Bytes):
        yield node.mask
    elif isinstance(node, Seq | Alt):
        for part in node.parts if isinstance(node, Seq) else node.branches:
            yield from _needed(part)
    elif isinstance(node, Repeat) and node.low:
        yield from _needed(node.item)


def _unburdened(node: Node) -> Node:
    heavy = burden(node)
    return without(node, heavy) if heavy is not None else node


def evasive(node: Node, erased: int) -> Evasive | None:
    """A loosened tree in plain and cuts, given the bytes that will be erased; None if it has no gaps."""
    if not gap_bytes(node):
        return None
    cuts = []
    heavy = burden(node)
    plain = _unburdened(node)
    if heavy is not None:
        cuts.append(until(node, heavy, heavy.item))
    starred = gap(plain)
    assert starred is not None
    assert isinstance(starred.item, Bytes)
    other = Bytes(starred.item.mask & ~erased)
    if other != NOTHING:
        kept = repeat(Bytes(starred.item.mask & erased), 0, None)
        cuts.append(until(plain, starred, seq([kept, other, starred]), kept, 1))
        plain = without(plain, starred, kept)
    return Evasive(plain, tuple(cuts))
