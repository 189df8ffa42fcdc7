# cython: boundscheck=True, wraparound=True
"""How rules become a program, in plain Python: chains, the trie, slots, lanes. `program` compiles and lays out the result.

A *chain* is a distinct sequence of transformations. A *slot* is a set of fields that the same rules look at: those of a target kind that no
rule names, and one for each name. A *lane* is a set of expressions with one database; slots share a lane when they can, because a
hit is masked by the slot's rules and a string is then scanned once for all.
"""
from dataclasses import dataclass, field

from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Target, Transformation

MAX_CHAINS = 64


@dataclass
class Node:
    """A transformation in the trie of chains. `end` is the index behind its subtree, `chain` the one that ends here or -1."""

    kind: int
    depth: int
    chain: int
    end: int = 0
    chains: int = 0


@dataclass
class Slot:
    name: bytes
    rules: list
    chains: int
    expressions: frozenset
    lane: int = -1


@dataclass
class Blueprint:
    rules: list
    chains: list
    nodes: list
    kinds: list = field(default_factory=list)    # by Target: a list of slots, the first for fields that no rule names
    lanes: list = field(default_factory=list)    # lists of expressions
    uses: dict = field(default_factory=dict)     # expression -> [(rule, chain)]


def draw(rules, flags_of) -> Blueprint:
    """flags_of(rule) gives the flags of its patterns."""
    rules = list(rules)
    chains = sorted({tuple(rule.transformations) for rule in rules})
    if len(chains) > MAX_CHAINS:
        raise EngineError(f"{len(chains)} distinct transformation chains; at most {MAX_CHAINS} can be scanned together")
    blueprint = Blueprint(rules, chains, trie(chains))
    for index, rule in enumerate(rules):
        if not rule.patterns:
            raise EngineError(f"rule {text(rule.id)}: no patterns")
        for pattern in rule.patterns:
            use = (index, chains.index(tuple(rule.transformations)))
            blueprint.uses.setdefault((pattern, flags_of(rule)), []).append(use)
    expressions = [frozenset((pattern, flags_of(rule)) for pattern in rule.patterns) for rule in rules]
    for kind in Target:
        blueprint.kinds.append(slots(blueprint, kind, expressions))
    assign_lanes(blueprint)
    return blueprint


def trie(chains) -> list:
    """The chains in pre-order; they come sorted, so a chain follows its prefix. Node 0 is the untransformed value."""
    nodes = [Node(-1, 0, -1)]
    path = [0]
    for index, chain in enumerate(chains):
        shared = 0
        while shared < min(len(path) - 1, len(chain)) and nodes[path[shared + 1]].kind == chain[shared]:
            shared += 1
        del path[shared + 1:]
        for kind in chain[shared:]:
            nodes.append(Node(int(kind), len(path), -1))
            path.append(len(nodes) - 1)
        nodes[path[-1]].chain = index
        for node in path:
            nodes[node].chains |= 1 << index
    for at, node in enumerate(nodes):
        below = (i for i in range(at + 1, len(nodes)) if nodes[i].depth <= node.depth)
        node.end = next(below, len(nodes))
    return nodes


def looks_at(rule, kind, name) -> bool:
    """Does the rule look at the kind's field `name`? b"": a field that no rule names."""
    refs = [ref for ref in rule.targets if ref.target == kind and ref.name.lower() in (b"", name)]
    return bool(refs) and not any(ref.exclude for ref in refs)


def slots(blueprint, kind, expressions) -> list:
    names = {ref.name.lower() for rule in blueprint.rules for ref in rule.targets if ref.target == kind}
    made = []
    for name in [b"", *sorted(names - {b""})]:
        rules = [i for i, rule in enumerate(blueprint.rules) if looks_at(rule, kind, name)]
        chains = 0
        for i in rules:
            chains |= 1 << blueprint.chains.index(tuple(blueprint.rules[i].transformations))
        made.append(Slot(name, rules, chains, frozenset().union(*(expressions[i] for i in rules))))
    # Named fields share one lane, so that many names do not make many databases.
    shared = frozenset().union(*(slot.expressions for slot in made[1:] if not slot.expressions <= made[0].expressions))
    for slot in made[1:]:
        if slot.expressions:
            slot.expressions = made[0].expressions if slot.expressions <= made[0].expressions else shared
    return made


def assign_lanes(blueprint) -> None:
    """A lane for each set of expressions; a set that fills at least half of a larger one uses that."""
    wanted = {slot.expressions for kind in blueprint.kinds for slot in kind if slot.expressions}
    order = {expression: i for i, expression in enumerate(blueprint.uses)}
    kept = []
    lane_of = {}
    for expressions in sorted(wanted, key=lambda e: (-len(e), sorted(map(order.get, e)))):
        hosts = [i for i, lane in enumerate(kept) if expressions <= lane and len(lane) <= 2 * len(expressions)]
        if not hosts:
            kept.append(expressions)
        lane_of[expressions] = hosts[-1] if hosts else len(kept) - 1
    for kind in blueprint.kinds:
        for slot in kind:
            if slot.expressions:
                slot.lane = lane_of[slot.expressions]
    blueprint.lanes = [sorted(lane, key=order.get) for lane in kept]


def text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def chain_text(chain) -> str:
    return " > ".join(Transformation(kind).name.lower() for kind in chain) or "as it came"


def describe(blueprint, sizes) -> str:
    """The blueprint for people; sizes: bytes of each lane's database."""
    lines = [
        f"program: {len(blueprint.rules)} rules, {len(blueprint.uses)} expressions, {len(blueprint.chains)} chains, "
        f"{len(blueprint.lanes)} databases ({sum(sizes)} bytes)"
    ]
    for index, chain in enumerate(blueprint.chains):
        rules = [text(r.id) for r in blueprint.rules if tuple(r.transformations) == chain]
        lines.append(f"chain {index}: {chain_text(chain)}: rules {' '.join(rules)}")
    for index, lane in enumerate(blueprint.lanes):
        lines.append(f"lane {index}: {len(lane)} expressions, {sizes[index]} bytes")
        lines += [f"  {text(pattern)}" for pattern, _ in lane]
    for kind, kind_slots in zip(Target, blueprint.kinds, strict=True):
        for slot in kind_slots:
            if slot.lane >= 0:
                chains = [i for i in range(len(blueprint.chains)) if slot.chains >> i & 1]
                field_name = f"{kind.name.lower()}:{text(slot.name) or '*'}"
                rules = " ".join(text(blueprint.rules[i].id) for i in slot.rules)
                lines.append(f"{field_name}: lane {slot.lane}, chains {' '.join(map(str, chains))}: rules {rules}")
    return "\n".join(lines) + "\n"
