"""Both of two matches, as one match."""

from __future__ import annotations

from ratelimitd.policy.plan import Condition, Match, Op


def both(first: Match, second: Match) -> Match:
    """What both match. Alternatives that contradict themselves beyond doubt are left out; `()`: nothing does."""
    pairs = ((a, b) for a in first.alternatives for b in second.alternatives)
    return Match(tuple(dict.fromkeys((*a, *(c for c in b if c not in a)) for a, b in pairs if not contradict(a, b))))


def contradict(first: tuple[Condition, ...], second: tuple[Condition, ...]) -> bool:
    return any(disjoint(a, b) for a in first for b in second)


def disjoint(a: Condition, b: Condition) -> bool:
    """Can no value satisfy both? False when in doubt."""
    if (a.source, a.name) != (b.source, b.name) or a.negate or b.negate or a.ignore_case or b.ignore_case:
        return False
    return all(apart(a.op, x, b.op, y) for x in a.operands for y in b.operands) and bool(a.operands and b.operands)


def apart(op: Op, text: bytes, other_op: Op, other: bytes) -> bool:
    """By how the values begin: whole texts are compared whole, patterns by what stands before their first wildcard."""
    head, whole = beginning(op, text)
    other_head, other_whole = beginning(other_op, other)
    if whole and other_whole:
        return head != other_head
    if whole:
        return not head.startswith(other_head)
    if other_whole:
        return not other_head.startswith(head)
    return not (head.startswith(other_head) or other_head.startswith(head))


def beginning(op: Op, text: bytes) -> tuple[bytes, bool]:
    """(what every value begins with, whether that is all of it)"""
    if op is Op.EXACT:
        return text, True
    if op is Op.PREFIX:
        return text, False
    if op is Op.GLOB:
        ends = [at for at in (text.find(c) for c in (b"*", b"?", b"{", b"\\")) if at >= 0]
        return text[: min(ends, default=len(text))], not ends
    return b"", False
