# cython: boundscheck=True, wraparound=True
"""How a program is laid out, in plain Python: what is scanned for, in which strings, and who hears of it. `build` makes the structs.

*Batched* links are found by scanning all fields once; the others are evaluated in their turn. A *chain* is a distinct sequence of
transformations of batched links, a *slot* the set of batched links that look at a field, a *group* the expressions that the strings
of some slots are scanned for.
"""
from dataclasses import dataclass, field

from ratelimitd.waf.databases import Expression
from ratelimitd.waf.program import GEO_NAMES, SOURCES, Operator, Variable

MAX_CHAINS = 64

BOTH = {Variable.ARGS: (Variable.ARGS_GET, Variable.ARGS_POST), Variable.ARGS_NAMES: (Variable.ARGS_GET, Variable.ARGS_POST)}
NAMES = {
    Variable.ARGS_GET_NAMES: Variable.ARGS_GET,
    Variable.ARGS_POST_NAMES: Variable.ARGS_POST,
    Variable.REQUEST_HEADERS_NAMES: Variable.REQUEST_HEADERS,
    Variable.REQUEST_COOKIES_NAMES: Variable.REQUEST_COOKIES,
    Variable.RESPONSE_HEADERS_NAMES: Variable.RESPONSE_HEADERS,
}

RESPONSE = frozenset(variable for variable in Variable if variable.name.startswith("RESPONSE_"))


def sources_of(variable) -> tuple:
    """(sources, whether their names are meant); no sources: the variable is computed."""
    if variable < SOURCES:
        return (variable,), False
    if variable in BOTH:
        return BOTH[variable], variable == Variable.ARGS_NAMES
    return ((NAMES[variable],), True) if variable in NAMES else ((), False)


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
    links: frozenset = frozenset()
    group: int = -1


@dataclass
class Group:
    expressions: list
    links: frozenset = frozenset()


@dataclass
class Blueprint:
    links: list
    batched: list = field(default_factory=list)        # indices of links
    chains: list = field(default_factory=list)
    chains_of: dict = field(default_factory=dict)      # batched link -> indices of chains
    nodes: list = field(default_factory=list)
    expressions: dict = field(default_factory=dict)    # Expression -> None, in order
    key_of: dict = field(default_factory=dict)         # batched link -> Expression; SQLi and XSS links have none
    names: list = field(default_factory=list)          # spelt out in selectors: number is index + 1
    slots: dict = field(default_factory=dict)          # (source, is_name) -> {name number or 0: Slot}
    groups: list = field(default_factory=list)
    store: list = field(default_factory=list)          # names of TX and its kin: slot is the index


def draw(program, batch=True) -> Blueprint:
    """Without `batch` no link is batched."""
    blueprint = Blueprint(list(program.links))
    if batch:
        find_batched(blueprint)
    blueprint.chains = sorted({chain for index in blueprint.batched for chain in chains_of(blueprint.links[index])})
    number = {chain: i for i, chain in enumerate(blueprint.chains)}
    blueprint.chains_of = {index: [number[chain] for chain in chains_of(blueprint.links[index])] for index in blueprint.batched}
    blueprint.nodes = trie(blueprint.chains)
    blueprint.names = sorted({s.name for link in program.links for s in link.selectors if s.name and sources_of(s.variable)[0]}
                             | {r.name for r in references(program) if r.name and sources_of(r.variable)[0]})
    find_slots(blueprint)
    find_groups(blueprint)
    blueprint.store = store_names(program)
    return blueprint


# ---- what is scanned for

def constant(text) -> bool:
    return all(isinstance(part, bytes) for part in text)


def escaped(text) -> bytes:
    return b"".join(b"\\x%02x" % c for c in text)


def expression_of(link):
    """What scanning looks for in the name of a link, whether that negates or not; None: the operator is not one that scanning finds."""
    if not constant(link.argument):
        return None
    argument = b"".join(link.argument)
    if link.operator == Operator.RX:
        return Expression(argument, link.ignore_case)
    if link.operator == Operator.PHRASES:
        return Expression(phrases=link.phrases) if link.phrases else None
    if not argument:
        return None
    if link.operator == Operator.CONTAINS:
        return Expression(escaped(argument))
    if link.operator == Operator.BEGINS_WITH:
        return Expression(rb"\A" + escaped(argument))
    if link.operator == Operator.ENDS_WITH:
        return Expression(escaped(argument) + rb"\z")
    if link.operator == Operator.STREQ:
        return Expression(rb"\A" + escaped(argument) + rb"\z")
    if link.operator == Operator.VALIDATE_BYTE_RANGE:
        return outside(argument)
    return None


def outside(ranges):
    """Any byte that is not in the ranges."""
    allowed = set()
    for part in ranges.split(b","):
        low, _, high = part.strip().partition(b"-")
        allowed.update(range(int(low), int(high or low) + 1))
    others = [c for c in range(256) if c not in allowed]
    return Expression(b"[" + escaped(bytes(others)) + b"]") if others else None


def find_batched(blueprint) -> None:
    chains = set()
    first = True
    for index, link in enumerate(blueprint.links):
        was_first, first = first, not link.chained
        # A link behind the first is needed only when that has matched: cheaper in its turn.
        if not was_first or not link.selectors or link.negated:
            continue
        if any(s.count or not sources_of(s.variable)[0] for s in link.selectors if not s.exclude):
            continue
        if link.operator in (Operator.DETECT_SQLI, Operator.DETECT_XSS):
            key = None
        else:
            expression = expression_of(link)
            if expression is None:
                continue
            key = expression
            blueprint.expressions[key] = None
        wanted = chains | set(chains_of(link))
        if len(wanted) > MAX_CHAINS:
            continue
        chains = wanted
        blueprint.batched.append(index)
        if key is not None:
            blueprint.key_of[index] = key


# ---- transformations

def chains_of(link) -> list:
    steps = tuple(map(int, link.transformations))
    return [steps[:n] for n in range(len(steps) + 1)] if link.multi_match else [steps]


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


# ---- who looks at what

def looks_at(link, source, is_name, name) -> bool:
    """Does the link look at the source's field `name`? b"": a field that no rule spells out."""
    for selector in link.selectors:
        sources, names = sources_of(selector.variable)
        if not selector.exclude and source in sources and names == is_name and (not selector.name or selector.name == name):
            if not (name and excluded(link, selector.variable, name)):
                return True
    return False


def excluded(link, variable, name) -> bool:
    return any(s.exclude and s.variable == variable and not s.regex and s.name in (b"", name) for s in link.selectors)


def find_slots(blueprint) -> None:
    number = {name: i + 1 for i, name in enumerate(blueprint.names)}
    wanted = {}
    for index in blueprint.batched:
        for selector in blueprint.links[index].selectors:
            sources, is_name = sources_of(selector.variable)
            for source in sources:
                links, names = wanted.setdefault((source, is_name), (set(), set()))
                links.add(index)
                names.add(selector.name)
    for (source, is_name), (links, names) in wanted.items():
        blueprint.slots[source, is_name] = {
            number.get(name, 0): Slot(frozenset(i for i in links if looks_at(blueprint.links[i], source, is_name, name)))
            for name in sorted(names | {b""})
        }


def keys_of(blueprint, links) -> frozenset:
    return frozenset(blueprint.key_of[i] for i in links if i in blueprint.key_of)


def find_groups(blueprint) -> None:
    """A group for each set of expressions, but sets that have most in common share one: a hit is masked by who looks, and a string that comes
    from several places is then scanned once."""
    order = {key: i for i, key in enumerate(blueprint.expressions)}
    slots = [slot for by_name in blueprint.slots.values() for slot in by_name.values() if slot.links]
    wanted = sorted({keys_of(blueprint, slot.links) for slot in slots}, key=lambda keys: (-len(keys), sorted(map(order.get, keys))))
    kept = []
    group_of = {}
    for keys in wanted:
        at = next((i for i, host in enumerate(kept) if 2 * len(keys & host) >= len(keys | host)), len(kept))
        if at == len(kept):
            kept.append(keys)
        kept[at] |= keys
        group_of[keys] = at
    for slot in slots:
        slot.group = group_of[keys_of(blueprint, slot.links)]
    for number, keys in enumerate(kept):
        links = frozenset().union(*(slot.links for slot in slots if slot.group == number))
        blueprint.groups.append(Group(sorted(keys, key=order.get), links))


def read(program) -> frozenset:
    """The sources that anybody looks at, scanned or not."""
    places = [*(s for link in program.links for s in link.selectors), *references(program)]
    return frozenset(source for place in places for source in sources_of(place.variable)[0])


def of_responses(program) -> frozenset:
    """The links whose rules see a response: those of phases 3 and 4, and of phase 5 if any of the chain looks at one."""
    found, chain = set(), []
    for index, link in enumerate(program.links):
        chain.append(index)
        if link.chained:
            continue
        links = [program.links[i] for i in chain]
        if links[0].phase in (3, 4) or links[0].phase == 5 and any(map(sees_response, links)):
            found.update(chain)
        chain = []
    return frozenset(found)


def sees_response(link) -> bool:
    places = [*link.selectors, *(part for text in texts_of(link) for part in text if not isinstance(part, bytes))]
    return any(place.variable in RESPONSE for place in places)


# ---- names

def texts_of(link):
    yield from (link.argument, link.message, link.log_data)
    for change in link.sets:
        yield from (change.name, change.value)


def texts(program):
    for link in program.links:
        yield from texts_of(link)


def references(program):
    return [part for text in texts(program) for part in text if not isinstance(part, bytes)]


def is_store(variable) -> bool:
    return Variable.TX <= variable <= Variable.GEO


def store_name(variable, name) -> bytes:
    return Variable(variable).name.lower().encode() + b"." + name


def set_name(change):
    """The full name of a constant target, or None."""
    return store_name(change.collection, b"".join(change.name)) if change.name and constant(change.name) else None


def store_names(program) -> list:
    names = {b"tx." + name for name, _ in program.initial} | {b"tx." + name for name in program.scores}
    names.update(b"tx." + name for name in (program.score, program.response_score) if name)
    names.update(b"geo." + name for name in GEO_NAMES if program.places)
    for link in program.links:
        names.update(store_name(s.variable, s.name) for s in link.selectors if is_store(s.variable) and s.name)
        names.update(name for name in map(set_name, link.sets) if name)
    names.update(store_name(r.variable, r.name) for r in references(program) if is_store(r.variable) and r.name)
    captures = [b"tx.%d" % i for i in range(10)]
    return captures + sorted(names - set(captures))
