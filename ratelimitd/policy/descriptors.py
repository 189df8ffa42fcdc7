"""The configuration of envoyproxy/ratelimit, as its files have it: a tree of descriptors for each domain.

What it refuses is refused here, all of it at once and with its place. Beyond that we refuse what we cannot count: a
key of more than eight values that vary, and numbers, keys and values that are too large.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimitd.errors import Diagnostic
from ratelimitd.policy.fields import kind_of
from ratelimitd.policy.names import did_you_mean
from ratelimitd.policy.nodes import Document, Node, Path
from ratelimitd.policy.protostruct import MAX_METADATA, encode_struct
from ratelimitd.policy.units import MAX_COUNT

_DAY_MS = 86_400_000
UNITS = {
    "second": 1000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": _DAY_MS,
    "week": 7 * _DAY_MS,
    "month": 30 * _DAY_MS,
    "year": 365 * _DAY_MS,
}
ROOT_KEYS = ("domain", "descriptors")
DESCRIPTOR_KEYS = (
    "key",
    "value",
    "rate_limit",
    "descriptors",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
)
LIMIT_KEYS = ("unit", "requests_per_unit", "unlimited", "name", "replaces")
MAX_VARYING = 8  # SNAPSHOT_MAX_KEY_PARTS in ext/snapshot.pxd
MAX_KEY = 230  # what is left of the name of an attribute
MAX_VALUE = 4096
MAX_PATTERN = 1024
MAX_NAME = 256
_DOMAIN = re.compile(r"[!-~]{1,128}\Z")
_RAW = re.compile(r"[^\s,\]}#]+")


def escape_key(key: str) -> str:
    """As wire/rls_decode.cc has it in the names of attributes."""
    return re.sub(r"[|#%]", lambda found: f"%{ord(found[0]):02X}", key)


@dataclass(slots=True)
class RateLimit:
    """`unlimited`, or `requests` in `window_ms`."""

    requests: int = 0
    window_ms: int = 60_000
    unlimited: bool = False
    name: str = ""
    replaces: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Descriptor:
    key: str
    value: str = ""  # empty: any value; with a `*`: a pattern
    limit: RateLimit | None = None
    children: list[Descriptor] = field(default_factory=list)
    shadow: bool = False
    quota: bool = False
    share: bool = False  # values that the pattern matches count together
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def wild(self) -> bool:
        return "*" in self.value

    @property
    def varies(self) -> bool:
        """Is each value counted by itself?"""
        return not self.value or (self.wild and not self.share)


@dataclass(slots=True)
class Tree:
    domain: str
    children: list[Descriptor] = field(default_factory=list)


class Reader:
    """Reads one document; what is wrong goes into `diagnostics`."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.diagnostics: list[Diagnostic] = list(document.diagnostics)

    def error(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.diagnostics.append(self.document.diagnostic(code, message, path, hint=hint, key=key))

    def read(self) -> Tree | None:
        root = self.document.root
        if root.items is None:
            self.error("P102", "a configuration is a mapping with a domain and descriptors", ())
            return None
        self.keys(root, (), ROOT_KEYS)
        domain = self.text(root, "domain", ())
        if not domain and self.document.whole(("domain",)):
            self.error("P201", "missing key 'domain'", (), "each file has one: `domain: NAME`", key=True)
        elif domain and not _DOMAIN.match(domain):
            self.error("P206", "a domain is at most 128 printable ASCII characters", ("domain",))
        return Tree(domain, self.descriptors(root, (), 0))

    # Parts.

    def descriptors(self, parent: Node, path: Path, varying: int) -> list[Descriptor]:
        found: list[Descriptor] = []
        seen: dict[tuple[str, str], int] = {}
        for index, node in self.items(parent, "descriptors", path):
            place = (*path, "descriptors", index)
            item = self.descriptor(node, place, varying)
            if item is None:
                continue
            if (item.key, item.value) in seen and item.key != "?":
                what = f"'{item.key[:64]}'" + (f" with value '{item.value[:64]}'" if item.value else " without a value")
                hint = f"the first is on line {seen[item.key, item.value]}; remove one"
                self.error("P501", f"descriptor {what} stands twice", place, hint)
            seen.setdefault((item.key, item.value), node.line)
            found.append(item)
        return found

    def descriptor(self, node: Node, path: Path, varying: int) -> Descriptor | None:
        if node.items is None:
            self.error("P202", f"expected a descriptor, got {kind_of(node.data())}", path, "write `- key: NAME`")
            return None
        self.keys(node, path, DESCRIPTOR_KEYS)
        key = self.text(node, "key", path)
        if not key:
            if self.document.whole((*path, "key")):
                self.error("P201", "a descriptor without a key", path, "give it one: `key: NAME`")
            key = "?"
        elif len(escape_key(key).encode()) > MAX_KEY:
            self.error("P205", f"'key' must be at most {MAX_KEY} bytes", (*path, "key"))
        value = self.text(node, "value", path)
        if len(value.encode()) > MAX_VALUE:
            self.error("P205", f"'value' must be at most {MAX_VALUE} bytes", (*path, "value"))
        elif "*" in value and len(value.encode()) > MAX_PATTERN:
            self.error("P205", f"a pattern must be at most {MAX_PATTERN} bytes", (*path, "value"))
        made = Descriptor(
            key,
            value,
            shadow=self.flag(node, "shadow_mode", path),
            quota=self.flag(node, "quota_mode", path),
            share=self.flag(node, "share_threshold", path),
            metadata=self.metadata(node, path),
        )
        for name in ("detailed_metric", "value_to_metric"):  # their metrics are not ours
            self.flag(node, name, path)
        varying += made.varies
        if "rate_limit" in node.items and node.items["rate_limit"][1].data() is not None:
            made.limit = self.limit(node.items["rate_limit"][1], (*path, "rate_limit"))
            if varying > MAX_VARYING:
                message = f"a limit by more than {MAX_VARYING} values"
                self.error("P502", message, path, "name some of the values")
        made.children = self.descriptors(node, path, varying)
        return made

    def limit(self, node: Node, path: Path) -> RateLimit:
        made = RateLimit()
        if node.items is None:
            self.error("P202", f"expected a mapping, got {kind_of(node.data())}", path)
            return made
        self.keys(node, path, LIMIT_KEYS)
        made.unlimited = self.flag(node, "unlimited", path)
        made.name = self.text(node, "name", path)
        if len(made.name.encode()) > MAX_NAME:
            self.error("P205", f"'name' must be at most {MAX_NAME} bytes", (*path, "name"))
        made.requests = self.count(node, "requests_per_unit", path)
        unit = self.text(node, "unit", path).lower()
        if made.unlimited:
            if unit in UNITS:
                self.error("P302", "unlimited and unit exclude each other", (*path, "unit"), "keep one", key=True)
        elif unit in UNITS:
            made.window_ms = UNITS[unit]
        elif not unit and "unit" not in node.items:
            if self.document.whole((*path, "unit")):
                self.error("P201", "missing key 'unit'", path, f"one of {', '.join(UNITS)}", key=True)
        else:
            self.error("P204", f"unknown unit '{unit[:64]}'", (*path, "unit"), did_you_mean(unit, UNITS))
        made.replaces = list(self.replaces(node, path, made.name))
        return made

    def replaces(self, node: Node, path: Path, own: str) -> Iterator[str]:
        for index, item in self.items(node, "replaces", path):
            place = (*path, "replaces", index)
            if item.items is None:
                self.error("P202", f"expected a mapping, got {kind_of(item.data())}", place, "write `- name: NAME`")
                continue
            self.keys(item, place, ("name",))
            name = self.text(item, "name", place)
            if not name:
                self.error("P503", "a limit that replaces one without a name", place, "name it, or remove the line")
            elif name == own:
                self.error("P503", f"limit '{name[:64]}' replaces itself", (*place, "name"), "remove the line")
            else:
                yield name

    def metadata(self, node: Node, path: Path) -> dict[str, Any]:
        assert node.items is not None
        found = node.items["metadata"][1] if "metadata" in node.items else None
        if found is None or found.data() is None:
            return {}
        if found.items is None:
            self.error("P202", f"expected a mapping, got {kind_of(found.data())}", (*path, "metadata"))
            return {}
        data = found.data()
        assert isinstance(data, dict)
        try:
            size = len(encode_struct(data))
        except OverflowError:
            self.error("P205", "a number in 'metadata' is too large", (*path, "metadata"), key=True)
            return {}
        if size > MAX_METADATA:
            self.error("P205", f"'metadata' must be at most {MAX_METADATA} bytes", (*path, "metadata"), key=True)
        return data

    # Values.

    def keys(self, node: Node, path: Path, known: Sequence[str]) -> None:
        for key in node.items or ():
            if key not in known:
                hint = did_you_mean(key, known)
                self.error("P203", f"unknown key '{key[:64]}'", (*path, key), hint, key=True)

    def items(self, node: Node, key: str, path: Path) -> Iterator[tuple[int, Node]]:
        found = (node.items or {}).get(key)
        if found is None or found[1].data() is None:
            return
        if found[1].children is None:
            self.error("P202", f"expected a list, got {kind_of(found[1].data())}", (*path, key))
            return
        yield from enumerate(found[1].children)

    def text(self, node: Node, key: str, path: Path) -> str:
        """A number is text here, as it is written: it was read so before."""
        found = (node.items or {}).get(key)
        if found is None:
            return ""
        value = found[1]
        if value.items is not None or value.children is not None:
            self.error("P202", f"expected text, got {kind_of(value.data())}", (*path, key))
            return ""
        if value.value is None or isinstance(value.value, str):
            return value.value or ""
        raw = _RAW.match(self.document.line(value.line), value.column - 1)
        return raw[0] if raw else str(value.value)

    def flag(self, node: Node, key: str, path: Path) -> bool:
        found = (node.items or {}).get(key)
        value = None if found is None else found[1].data()
        if value is None or isinstance(value, bool):
            return bool(value)
        words = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}  # YAML 1.1
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        self.error("P202", f"expected true or false, got {kind_of(value)}", (*path, key))
        return False

    def count(self, node: Node, key: str, path: Path) -> int:
        found = (node.items or {}).get(key)
        value = None if found is None else found[1].data()
        if value is None:
            return 0  # as it was read before: bans
        if isinstance(value, bool) or not isinstance(value, int):
            self.error("P202", f"expected a whole number, got {kind_of(value)}", (*path, key))
            return 0
        if not 0 <= value <= MAX_COUNT:
            self.error("P205", f"'{key}' must be from 0 to {MAX_COUNT}", (*path, key))
            return 0
        return value


def read_trees(documents: Sequence[Document], *, merge: bool = False) -> tuple[list[Tree], list[Diagnostic]]:
    """The trees of all files, and everything that is wrong. `merge`: files of one domain belong together."""
    trees: dict[str, Tree] = {}
    places: dict[str, Document] = {}
    diagnostics: list[Diagnostic] = []
    for document in documents:
        reader = Reader(document)
        tree = reader.read()
        if tree is not None and tree.domain in trees and tree.domain:
            if not merge:
                message = f"domain '{tree.domain[:64]}' is also in {places[tree.domain].file}"
                hint = "one file for each domain; or merge them (MERGE_DOMAIN_CONFIG)"
                reader.error("P301", message, ("domain",), hint)
            add_to(trees[tree.domain], tree, reader)
        elif tree is not None:
            trees[tree.domain], places[tree.domain] = tree, document
        diagnostics += reader.diagnostics
    return list(trees.values()), diagnostics


def add_to(tree: Tree, more: Tree, reader: Reader) -> None:
    known = {(item.key, item.value) for item in tree.children}
    for index, item in enumerate(more.children):
        if (item.key, item.value) in known:
            message = f"descriptor '{item.key[:64]}' stands in another file of this domain too"
            reader.error("P501", message, ("descriptors", index), "remove one")
    tree.children += more.children
