"""A pattern without the optional parts that it repeats everywhere.

The shell rules allow `$var` and quotes between any two letters of any command: an optional part S, hundreds of times
over. A match either leaves every S empty, or there is a first S that is not. So R matches only where without(R, S)
does, or where until(R, S) does: the beginnings of R that end behind such an S. Of what comes before the first S the
other S are empty, so the two weigh little more than R does without S.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ratelimitd.waf.regex.nodes import EMPTY, NOTHING, Alt, Bytes, Node, Repeat, Seq, alt, children, repeat, seq, weight

MIN_SAVED = 200
MIN_COPIES = 12
MAX_GAP = 16


def burden(node: Node) -> Repeat | None:
    """Of a loosened tree, the optional part whose copies weigh most, if without them MIN_SAVED byte positions go."""
    copies = Counter(part for part in optional_parts(node) if not isinstance(part.item, Bytes))
    best = max(copies, key=lambda part: weight(part) * (copies[part] - 1), default=None)
    return best if best is not None and weight(best) * (copies[best] - 1) >= MIN_SAVED else None


def gap(node: Node) -> Repeat | None:
    """The starred set of at most MAX_GAP bytes that comes most often, if it comes MIN_COPIES times."""
    copies = Counter(
        part
        for part in optional_parts(node)
        if isinstance(part.item, Bytes) and part.high is None and part.item.mask.bit_count() <= MAX_GAP
    )
    best = max(copies, key=copies.__getitem__, default=None)
    return best if best is not None and copies[best] >= MIN_COPIES else None


def optional_parts(node: Node) -> Iterator[Repeat]:
    if isinstance(node, Repeat) and node.low == 0:
        yield node
    for child in children(node):
        yield from optional_parts(child)


def without(node: Node, part: Repeat, instead: Node = EMPTY) -> Node:
    """Of a loosened tree the matches that leave every copy of `part` empty, or have `instead` in its place."""
    if node == part:
        return instead
    if isinstance(node, Seq):
        return seq(without(item, part, instead) for item in node.parts)
    if isinstance(node, Alt):
        return alt(without(branch, part, instead) for branch in node.branches)
    if isinstance(node, Repeat):
        return repeat(without(node.item, part, instead), node.low, node.high)
    return node


def until(node: Node, part: Repeat, first: Node, instead: Node = EMPTY, behind: int = 0) -> Node:
    """Beginnings of matches that end in `first`, which stands where a copy of `part` stood.

    Copies before it are `instead`. Of what follows it, the beginning with `behind` bytes that must be there is kept.
    Sound if whatever `part` matches is matched by `instead`, or begins with what `first` matches.
    """
    return _until(node, EMPTY, _Cut(part, first, instead, behind))


class _Cut:
    """The arguments of `until`, which are the same all the way down."""

    def __init__(self, part: Repeat, first: Node, instead: Node, behind: int) -> None:
        self.part, self.first, self.instead, self.behind = part, first, instead, behind


def _until(node: Node, rest: Node, cut: _Cut) -> Node:
    """`rest` is what follows `node`."""
    if node == cut.part:
        return seq([cut.first, head(rest, cut.behind)]) if cut.behind else cut.first
    if isinstance(node, Alt):
        return alt(_until(branch, rest, cut) for branch in node.branches)
    if isinstance(node, Repeat):
        rounds = None if node.high is None else node.high - 1
        later = seq([repeat(node.item, 0, rounds), rest]) if cut.behind else EMPTY
        return seq([repeat(without(node.item, cut.part, cut.instead), 0, rounds), _until(node.item, later, cut)])
    if isinstance(node, Seq):
        found: Node = NOTHING
        for index in range(len(node.parts) - 1, -1, -1):
            item = node.parts[index]
            behind = seq([*node.parts[index + 1 :], rest]) if cut.behind else EMPTY
            here = _until(item, behind, cut)
            found = alt([here, _after(without(item, cut.part, cut.instead), found)])
        return found
    return NOTHING


def _after(item: Node, found: Node) -> Node:
    return NOTHING if found == NOTHING else seq([item, found])


def head(node: Node, count: int) -> Node:
    """Beginnings of what `node` matches, cut behind `count` bytes that must be there, or earlier."""
    return _head(node, count)[0]


def _head(node: Node, count: int) -> tuple[Node, int]:
    """With how many of the bytes are still to come; 0 when the tree was cut, whether or not it has them all."""
    if count == 0:
        return EMPTY, 0
    if isinstance(node, Bytes):
        return node, count - 1
    if isinstance(node, Seq):
        parts = []
        for part in node.parts:
            kept, count = _head(part, count)
            parts.append(kept)
            if count == 0:
                break
        return seq(parts), count
    if isinstance(node, Alt):
        heads = [_head(branch, count) for branch in node.branches]
        left = {left for _, left in heads}
        return alt(kept for kept, _ in heads), left.pop() if len(left) == 1 else 0
    if isinstance(node, Repeat):
        if isinstance(node.item, Bytes) and node.low == 0:
            return node, count
        return (_head(node.item, count)[0], 0) if node.low else (EMPTY, 0)
    return node, count
