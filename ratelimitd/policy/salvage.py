"""What is left of a document when everything that has no shape is cut out of it, so that the rest can still be checked.

The smallest part goes: an item, a key, an entry. The tree remembers the gaps (`Node.gaps`), so that `validate` judges
nothing by what was cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ratelimitd.errors import Diagnostic
from ratelimitd.policy.nodes import MAX_DEPTH, Document, Node, Path, Step
from ratelimitd.policy.schema import PenaltySpec, PolicySpec, RouteSpec, RuleSpec, TestSpec, TriggerSpec
from ratelimitd.policy.shape import Flaw, examine, model_at, told

Model = TypeVar("Model", bound=BaseModel)

# What takes the place of a required key, so that its entry need not go with it. Nothing is ever said about these.
STAND_INS: dict[type[BaseModel], dict[str, Any]] = {
    PolicySpec: {"version": 1, "domain": "unnamed"},
    PenaltySpec: {"key": "client.ip", "ban": "1h"},
    TriggerSpec: {"within": "1m"},
    RuleSpec: {"id": "unnamed", "targets": "args"},
    RouteSpec: {"match": {}},
    TestSpec: {"name": "unnamed", "requests": {}, "expect": {}},
}


@dataclass(frozen=True, slots=True)
class Salvaged(Generic[Model]):
    """`model` of what is left, None when nothing is; `document` is what is left; `diagnostics` say what is not."""

    document: Document
    model: Model | None
    diagnostics: list[Diagnostic]


@dataclass(slots=True)
class Cut:
    """What happens to a node: it goes and leaves gaps, or some of what is below it does, or a key is put in."""

    gaps: set[str | None] = field(default_factory=set)
    below: dict[Step, Cut] = field(default_factory=dict)
    put_in: dict[str, Any] = field(default_factory=dict)


def salvage(document: Document, model: type[Model]) -> Salvaged[Model]:
    """Never fails: in the worst case nothing is left."""
    diagnostics = list(document.diagnostics)
    for _ in range(MAX_DEPTH):  # a cut may leave its parent without a required key: a round for each level
        result, flaws = examine(document, model)
        diagnostics += told(flaw for flaw in flaws if document.whole(flaw.path) or not flaw.missing)
        if result is not None and not flaws:
            return Salvaged(document, result, diagnostics)
        cut = cuts(document.root, model, flaws)
        if cut.gaps:
            break
        document = replace(document, root=without(document.root, cut))
    return Salvaged(document, None, diagnostics)


def cuts(root: Node, model: type[BaseModel], flaws: Iterable[Flaw]) -> Cut:
    top = Cut()
    for flaw in flaws:
        stand_in = stand_in_for(model, flaw.path) if flaw.missing else None
        cut, step = cut_at(top, root, flaw.path[:-1] if flaw.missing else flaw.path)
        if stand_in is not None:
            cut.put_in[str(flaw.path[-1])] = stand_in
        else:
            cut.gaps.add(flaw.meant if flaw.unknown else step if isinstance(step, str) else None)
    return top


def stand_in_for(model: type[BaseModel], path: Path) -> Any:
    parent = model_at(model, path[:-1])
    return STAND_INS.get(parent, {}).get(str(path[-1])) if parent else None


def cut_at(top: Cut, root: Node, path: Path) -> tuple[Cut, Step | None]:
    """The cut of the deepest step that exists, and that step. Those that lead nowhere are skipped, as in `find`."""
    cut, node, last = top, root, None
    for step in path:
        if node.items is not None and isinstance(step, str) and step in node.items:
            node = node.items[step][1]
        elif node.children is not None and isinstance(step, int) and 0 <= step < len(node.children):
            node = node.children[step]
        else:
            continue
        cut, last = cut.below.setdefault(step, Cut()), step
    return cut, last


def without(node: Node, cut: Cut) -> Node:
    """A copy with gaps. What no cut concerns is shared: an alias elsewhere keeps it whole."""
    made = replace(node, gaps=node.gaps.union(cut.put_in, *(inner.gaps for inner in cut.below.values())), whole=False)
    if node.items is not None:
        kept = {
            key: (name, without(value, cut.below[key]) if key in cut.below else value)
            for key, (name, value) in node.items.items()
            if key not in cut.below or not cut.below[key].gaps
        }
        made.items = kept | {key: stand_in(node, value) for key, value in cut.put_in.items()}
    elif node.children is not None:
        made.children = [
            without(child, cut.below[index]) if index in cut.below else child
            for index, child in enumerate(node.children)
            if index not in cut.below or not cut.below[index].gaps
        ]
    return made


def stand_in(parent: Node, value: Any) -> tuple[Node, Node]:
    """Key and value, at the place of what they are put into."""
    made = Node(parent.line, parent.column, items={}) if value == {} else Node(parent.line, parent.column, value)
    return Node(parent.line, parent.column, whole=False), made
