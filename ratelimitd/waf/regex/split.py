"""A pattern that is too large for Hyperscan, as several that are not."""

from __future__ import annotations

from collections.abc import Callable

from ratelimitd.waf.regex.nodes import Alt, Node, Repeat, Seq, alt, repeat, seq, weight

MAX_PARTS = 64


def split(node: Node, fits: Callable[[Node], bool], most: int = MAX_PARTS) -> list[Node] | None:
    """Trees that `fits` accepts and that together match where `node` does; None if more than `most` would be needed.

    The heaviest alternation that lies on every path is cut in two halves, again and again.
    """
    waiting: list[Node] = [node]
    done: list[Node] = []
    while waiting:
        if len(waiting) + len(done) > most:
            return None
        part = waiting.pop()
        if fits(part):
            done.append(part)
            continue
        halves = _halves(part)
        if halves is None:
            return None
        waiting.extend(reversed(halves))
    return done


def _halves(node: Node) -> tuple[Node, Node] | None:
    """Two trees of about the same weight that together match what `node` does."""
    if isinstance(node, Alt):
        return _balanced(node.branches)
    if isinstance(node, Seq):
        for index in sorted(range(len(node.parts)), key=lambda at: -weight(node.parts[at])):
            found = _halves(node.parts[index])
            if found is not None:
                before, after = node.parts[:index], node.parts[index + 1 :]
                return seq([*before, found[0], *after]), seq([*before, found[1], *after])
    if isinstance(node, Repeat) and node.high == 1:
        found = _halves(node.item)
        if found is not None:
            return repeat(found[0], 0, 1), repeat(found[1], 0, 1)
    return None


def _balanced(branches: tuple[Node, ...]) -> tuple[Node, Node]:
    heaviest = max(branches, key=weight)
    if len(branches) > 1 and 2 * weight(heaviest) <= sum(map(weight, branches)):
        total, index, half = 0, 0, sum(map(weight, branches)) // 2
        while index < len(branches) - 1 and (index == 0 or total < half):
            total += weight(branches[index])
            index += 1
        return alt(branches[:index]), alt(branches[index:])
    return heaviest, alt(branch for branch in branches if branch is not heaviest)
