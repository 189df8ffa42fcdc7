"""Many patterns as a few databases, each scanned only where it can matter.

A text takes the first step whose alphabet holds all of its bytes; the last step holds every byte. Of that step, each
lane is one database: it is scanned over the text without the lane's `erased` bytes, if the text has one of the lane's
`needs` (or the lane needs nothing). A pattern that matches the text has a hit in one of them (or is `ungated`); with
`exact` a hit says that it matches, and otherwise PCRE2 must say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ratelimitd.waf.regex.erase import erase
from ratelimitd.waf.regex.evasion import Evasive, erased_set, evasive
from ratelimitd.waf.regex.heads import by_head
from ratelimitd.waf.regex.loosen import drop_anchors, is_exact, loosen, unanchored
from ratelimitd.waf.regex.nodes import ALL, NOTHING, Node, byte_set
from ratelimitd.waf.regex.parse import Flags, UnsupportedError, parse
from ratelimitd.waf.regex.render import render
from ratelimitd.waf.regex.required import required
from ratelimitd.waf.regex.restrict import restrict
from ratelimitd.waf.regex.split import split

_WORDS = byte_set((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), b"_.-")
_TEXT = _WORDS | byte_set(b" ,:/@!?+%#~*", (0x80, 0xFF))
_QUOTED = _TEXT | byte_set(b"'\"()\t")
ALPHABETS = (_WORDS, _TEXT, _QUOTED, ALL)

Fits = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """An expression for Hyperscan under DOTALL, MULTILINE, SINGLEMATCH and ALLOWEMPTY, and whose it is."""

    pattern: int
    expression: bytes
    exact: bool


@dataclass(frozen=True, slots=True)
class Lane:
    needs: int
    erased: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Step:
    alphabet: int
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    ungated: tuple[int, ...]

    def lanes(self, text: bytes) -> tuple[Lane, ...]:
        """The lanes that a text must be scanned for."""
        found = byte_set(text)
        step = next(step for step in self.steps if found & ~step.alphabet == 0)
        return tuple(lane for lane in step.lanes if not lane.needs or lane.needs & found)


@dataclass(frozen=True, slots=True)
class _Gate:
    """A tree that stands for a pattern in one lane."""

    pattern: int
    tree: Node
    exact: bool
    erased: int
    cut: bool


def lanes(patterns: Sequence[tuple[bytes, Flags]], fits: Fits, alphabets: Sequence[int] = ALPHABETS) -> Plan:
    """A plan for patterns, which rows and `ungated` name by their index.

    `fits` says whether Hyperscan takes an expression. `alphabets` ascend and end with ALL.
    """
    trees: dict[int, Node] = {}
    for index, (pattern, flags) in enumerate(patterns):
        try:
            trees[index] = parse(pattern, flags)
        except UnsupportedError:
            continue
    loose = {index: loosen(tree) for index, tree in trees.items()}
    erased = erased_set(loose.values())
    hidden = {index: evasive(tree, erased) for index, tree in loose.items()}
    steps, ungated = [], set(range(len(patterns))) - trees.keys()
    for alphabet in alphabets:
        rows: dict[tuple[int, int], list[Row]] = {}
        for index, tree in loose.items():
            for gate in _gates(index, tree, hidden[index], alphabet, erased):
                expressions = _expressions(gate, is_exact(trees[index]), fits)
                if expressions is None:
                    ungated.add(index)
                else:
                    place = (_need(gate), gate.erased)
                    rows.setdefault(place, []).extend(expressions)
        steps.append(Step(alphabet, tuple(Lane(*place, tuple(found)) for place, found in sorted(rows.items()))))
    return Plan(tuple(steps), tuple(sorted(ungated)))


def _gates(index: int, tree: Node, hidden: Evasive | None, alphabet: int, erased: int) -> Iterator[_Gate]:
    if hidden is None:
        yield _Gate(index, restrict(tree, alphabet), True, 0, False)
        return
    plain = restrict(hidden.plain, alphabet)
    lost = erased if alphabet & erased else 0
    for head in by_head(erase(plain, lost) if lost else plain):
        yield _Gate(index, head, not lost, lost, False)
    for cut in hidden.cuts:
        yield _Gate(index, erase(restrict(cut, alphabet), lost), False, lost, True)


def _need(gate: _Gate) -> int:
    """A few bytes that are no text, which a gate for an evasive pattern waits for; others are cheap enough without."""
    if not gate.erased and not gate.cut:
        return 0
    few = 2 if gate.cut else 8
    sets = (mask for mask in required(gate.tree) if mask.bit_count() <= few and not mask & _TEXT)
    return min(sets, default=0, key=int.bit_count)


def _expressions(gate: _Gate, exact: bool, fits: Fits) -> list[Row] | None:
    """Rows for a gate, none for one that never hits; None if Hyperscan takes none of its forms.

    `exact` says whether the pattern was one before it was loosened.
    """
    if gate.tree == NOTHING:
        return []
    for tree in (gate.tree, drop_anchors(gate.tree), unanchored(gate.tree)):
        parts = split(tree, lambda part: fits(render(part)))
        if parts is not None:
            kept = exact and gate.exact and tree == gate.tree
            return [Row(gate.pattern, render(part), kept) for part in parts]
    return None
