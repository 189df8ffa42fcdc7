"""From the configuration of envoyproxy/ratelimit to policies of ours: what is served is what `convert` writes.

A descriptor arrives as attributes: `descriptor` has its keys joined by "|", `descriptor.KEY` a value. A limit there
asks for the keys of its branch, and at each entry for what its node matches and no node before it in the order exact
value, patterns as the file has them, key alone. So at most one limit applies to a descriptor.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ratelimitd.errors import PolicyError
from ratelimitd.policy import globs
from ratelimitd.policy.compile import compile_domain
from ratelimitd.policy.descriptors import UNITS, Descriptor, Tree, escape_key, read_trees
from ratelimitd.policy.load import SourceFile, compose_all, read_sources
from ratelimitd.policy.plan import Domain, HeaderFamily, Plan, Scan
from ratelimitd.policy.schema import PolicySpec
from ratelimitd.policy.units import format_duration

_UNFIT = re.compile(r"[^A-Za-z0-9._-]")
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Import:
    """A configuration to be served, and what its environment variables say about it."""

    path: Path
    headers: bool = False  # LIMIT_RESPONSE_HEADERS_ENABLED
    shadow: bool = False  # SHADOW_MODE
    merge: bool = False  # MERGE_DOMAIN_CONFIG

    @property
    def directory(self) -> Path:
        """A runtime directory keeps its files in `config`."""
        inner = self.path / "config"
        if self.path.is_file():
            return self.path
        found = inner.is_dir() and not any(self.path.glob("*.y*ml"))
        return inner if found else self.path


def read_import(wanted: Import) -> tuple[list[Tree], list[SourceFile]]:
    """Raises PolicyError with everything that is wrong."""
    sources, errors = read_sources(wanted.directory)
    documents, more = compose_all(sources)
    trees, others = read_trees(documents, merge=wanted.merge)
    if errors or more or others:
        raise PolicyError([*errors, *more, *others])
    return trees, sources


def import_domains(wanted: Import) -> tuple[list[Domain], list[SourceFile]]:
    """What is served. Raises PolicyError."""
    trees, sources = read_import(wanted)
    family = HeaderFamily.DRAFT_03 if wanted.headers else HeaderFamily.NONE
    domains = [
        replace(compile_domain(PolicySpec.model_validate(policy_of(tree)), Scan()), headers=family) for tree in trees
    ]
    return [replace(domain, answer_shadow=wanted.shadow) for domain in domains], sources


def policy_of(tree: Tree) -> dict[str, Any]:
    """A policy file of ours, as data."""
    branches = list(leaves(tree.children, ()))
    named = names_of(branches)
    by_name: dict[str, list[str]] = {}
    for branch, name in zip(branches, named, strict=True):
        limit = branch[-1].node.limit
        assert limit is not None
        if limit.name:
            by_name.setdefault(limit.name, []).append(name)
    limits = {name: limit_of(branch, by_name) for branch, name in zip(branches, named, strict=True)}
    return {
        "version": 1,
        "domain": tree.domain,
        "default": False,
        "headers": "none",
        "consume": "always",
        "limits": limits,
    }


@dataclass(frozen=True, slots=True)
class Step:
    """A node on the way to a limit, and its siblings."""

    node: Descriptor
    siblings: Sequence[Descriptor]
    attribute: str  # where its value is


Branch = tuple[Step, ...]


def leaves(nodes: Sequence[Descriptor], above: Branch) -> Iterator[Branch]:
    """The way to every limit."""
    for node in nodes:
        same = 1 + sum(step.node.key == node.key for step in above)
        attribute = f"descriptor.{escape_key(node.key)}" + (f"#{same}" if same > 1 else "")
        branch = (*above, Step(node, [item for item in nodes if item.key == node.key], attribute))
        if node.limit is not None:
            yield branch
        yield from leaves(node.children, branch)


def limit_of(branch: Branch, by_name: dict[str, list[str]]) -> dict[str, Any]:
    node = branch[-1].node
    limit = node.limit
    assert limit is not None
    # The last entry first: it is what tells most limits apart, and what comes first finds them.
    match: dict[str, Any] = {}
    for step in reversed(branch):
        if condition := condition_of(step):
            match[step.attribute] = condition
    match["attribute.descriptor"] = {"exact": "|".join(escape_key(step.node.key) for step in branch)}
    made: dict[str, Any] = {"match": match, "key": [step.attribute for step in branch if step.node.varies]}
    if limit.unlimited:
        made["unlimited"] = True
    else:
        made |= {"limit": limit.requests, "window": format_duration(limit.window_ms), "algorithm": "fixed_window"}
    if node.shadow:
        made["mode"] = "shadow"
    if node.quota:
        made["quota"] = True
    if node.quota and node.metadata:
        made["metadata"] = node.metadata
    replaced = [name for given in dict.fromkeys(limit.replaces) for name in by_name.get(given, ())]
    if replaced:
        made["replaces"] = replaced
    made["answer_as"] = limit.name
    return made


def condition_of(step: Step) -> dict[str, Any]:
    """What a value must be for this node: what it asks for, and nothing that a sibling takes before it."""
    node = step.node
    if node.value and not node.wild:
        return {"exact": node.value}
    exact = [item.value for item in step.siblings if item.value and not item.wild]
    patterns = [item.value for item in step.siblings if item.wild]
    if node.wild:
        patterns = patterns[: patterns.index(node.value)]
    taken: dict[str, Any] = {}
    if exact:
        taken["exact"] = exact
    if patterns:
        taken["glob"] = [glob_of(pattern) for pattern in patterns]
    condition: dict[str, Any] = {"glob": glob_of(node.value)} if node.wild else {}
    return condition | ({"not": taken} if taken else {})


def glob_of(pattern: str) -> str:
    """`*` is any run of characters, and nothing else is special."""
    return re.sub(r"\*+", "*", "*".join(globs.escape(part) for part in pattern.split("*")))


def names_of(branches: Sequence[Branch]) -> list[str]:
    """For each limit the keys and values that lead to it, as far as they fit a name."""
    names: list[str] = []
    taken: set[str] = set()
    for branch in branches:
        whole = ".".join(step.node.key + (f"_{step.node.value}" if step.node.value else "") for step in branch)
        name = _UNFIT.sub("-", whole)
        if name != whole or len(name) > MAX_NAME or not name[0].isalnum() or name in taken:
            digest = hashlib.sha256(repr([(s.node.key, s.node.value) for s in branch]).encode()).hexdigest()[:8]
            name = f"{name.lstrip('._-')[: MAX_NAME - 9]}-{digest}".lstrip("-")
        taken.add(name)
        names.append(name)
    return names


_UNIT_NAMES = {window_ms: name.upper() for name, window_ms in UNITS.items()}


def list_limits(plan: Plan) -> str:
    """The limits of all domains as envoyproxy/ratelimit lists its own; a window that is no unit stands as it is."""
    return "".join(
        f"{domain.name.decode()}.{limit.name.decode()}: "
        f"unit={_UNIT_NAMES.get(limit.rate.window_ms) or format_duration(limit.rate.window_ms)} "
        f"requests_per_unit={limit.rate.limit}, shadow_mode: {str(limit.shadow).lower()}\n"
        for domain in plan.domains
        for limit in domain.limits
        if not limit.rate.unlimited
    )
