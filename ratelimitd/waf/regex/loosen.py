"""A pattern without what Hyperscan cannot do; it matches wherever the original does, and perhaps elsewhere."""

from __future__ import annotations

from ratelimitd.waf.regex.nodes import (
    ANY,
    EMPTY,
    Alt,
    Anchor,
    Atomic,
    Back,
    Bytes,
    Group,
    Look,
    Node,
    Repeat,
    Seq,
    alt,
    children,
    fold_case,
    repeat,
    seq,
)

_ANYTHING = Repeat(ANY, 0, None)
_LEADING = (Anchor.START, Anchor.LINE_START)
_TRAILING = (Anchor.END, Anchor.LINE_END, Anchor.END_LINE)


def loosen(node: Node) -> Node:
    """Without groups, lookarounds, references, atomic groups and \\G; equal to `node` if it has none but groups.

    A reference becomes what its group could have matched in any place, or anything if that has references itself.
    """
    return _loosen(node, _groups(node))


def is_exact(node: Node) -> bool:
    """Whether loosen leaves a pattern that matches the same texts."""
    return (
        not isinstance(node, Look | Back | Atomic)
        and node is not Anchor.SEARCH_START
        and all(map(is_exact, children(node)))
    )


def drop_anchors(node: Node, leading: bool = True, trailing: bool = True) -> Node:
    """Of a loosened tree, without the anchors that are not at its very beginning or end.

    `leading` and `trailing` say whether `node` stands at the beginning and at the end of the whole.
    """
    if isinstance(node, Anchor):
        kept = (leading or node not in _LEADING) and (trailing or node not in _TRAILING)
        return node if kept else EMPTY
    if isinstance(node, Seq):
        last = len(node.parts) - 1
        return seq(
            drop_anchors(part, leading and index == 0, trailing and index == last)
            for index, part in enumerate(node.parts)
        )
    if isinstance(node, Alt):
        return alt(drop_anchors(branch, leading, trailing) for branch in node.branches)
    if isinstance(node, Repeat):
        once = node.high == 1
        return repeat(drop_anchors(node.item, leading and once, trailing and once), node.low, node.high)
    return node


def unanchored(node: Node) -> Node:
    """Of a loosened tree, without any anchor or word boundary."""
    return _loosen(node, {}, assertions=False)


def _groups(node: Node) -> dict[int, Node]:
    found = {node.number: node.item} if isinstance(node, Group) else {}
    for child in children(node):
        found |= _groups(child)
    return found


def _loosen(node: Node, groups: dict[int, Node], assertions: bool = True, fold: bool = False) -> Node:
    if isinstance(node, Bytes):
        return Bytes(fold_case(node.mask)) if fold else node
    if isinstance(node, Seq):
        return seq(_loosen(part, groups, assertions, fold) for part in node.parts)
    if isinstance(node, Alt):
        return alt(_loosen(branch, groups, assertions, fold) for branch in node.branches)
    if isinstance(node, Repeat):
        return repeat(_loosen(node.item, groups, assertions, fold), node.low, node.high)
    if isinstance(node, Group | Atomic):
        return _loosen(node.item, groups, assertions, fold)
    if isinstance(node, Back):
        group = groups.get(node.number)
        if group is None or _refers(group):
            return _ANYTHING
        return _loosen(group, groups, False, fold or node.fold)
    if isinstance(node, Look) or node is Anchor.SEARCH_START or not assertions:
        return EMPTY
    return node


def _refers(node: Node) -> bool:
    return isinstance(node, Back) or any(map(_refers, children(node)))
