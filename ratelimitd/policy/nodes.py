"""A YAML 1.2 document as a tree that knows where everything stands.

Bounded in size, depth and alias expansion, so that no file can make us work without end. The scalars follow the YAML
1.2 core schema: `no` is a string, `0o17` is 15, a date is a string.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from ratelimitd.errors import Diagnostic, Position

LIBYAML = find_spec("ruamel.yaml.clib") is not None or find_spec("_ruamel_yaml") is not None
# The parsers trip over some broken inputs instead of naming what is wrong.
PARSER_TRIPS = (
    YAMLError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    TypeError,
    ValueError,
)

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 500_000  # after aliases are expanded

Step = str | int
Path = tuple[Step, ...]
Scalar = str | int | float | bool | None

_NULL = re.compile(r"(?:~|null|Null|NULL)?\Z")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,1000}\Z")
_OCTAL = re.compile(r"0o[0-7]{1,1000}\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,1000}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITY = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n|[\n\r]")
_RARE_BREAK = re.compile("[\x85\u2028\u2029]")  # line ends to libyaml, not to YAML 1.2
_NAN = re.compile(r"\.(?:nan|NaN|NAN)\Z")


@dataclass(slots=True)
class Node:
    """One value and its place (1-based). `items` of a mapping, `children` of a sequence, `value` of a scalar.

    `gaps`: what was written here but is not in the tree: names of keys; None for a key whose name says nothing, which
    may have meant any, and for an item of a sequence. `whole`: no gap here or below.
    """

    line: int
    column: int
    value: Scalar = None
    items: dict[str, tuple[Node, Node]] | None = None  # key text -> (key, value)
    children: list[Node] | None = None
    size: int = 1  # nodes below and with this one, aliases expanded
    gaps: frozenset[str | None] = frozenset()
    whole: bool = True

    def data(self) -> Any:
        """The plain value: dict, list or scalar. Mapping keys are strings as they are written."""
        if self.items is not None:
            return {key: value.data() for key, (_, value) in self.items.items()}
        if self.children is not None:
            return [child.data() for child in self.children]
        return self.value


@dataclass(slots=True)
class Document:
    """A file's text and tree. Paths lead through it: ("limits", "per-ip", "window").

    `diagnostics`: what is wrong with the YAML but did not stop the reading; what it is about is a gap in the tree.
    """

    file: str
    lines: Sequence[str]
    root: Node = field(default_factory=lambda: Node(1, 1))
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def find(self, path: Path) -> tuple[Node, Node]:
        """(key, value) of the deepest step of path that exists.

        Steps that lead nowhere are skipped: a list of one may be written without the list.
        """
        key, node = self.root, self.root
        for step in path:
            if node.items is not None and isinstance(step, str) and step in node.items:
                key, node = node.items[step]
            elif node.children is not None and isinstance(step, int) and 0 <= step < len(node.children):
                key = node = node.children[step]
        return key, node

    def whole(self, path: Path, *, below: bool = True) -> bool:
        """Is what stands at path, or does not, as it was written? Then it can be judged.

        Not when it was left out of the tree, or when a key of unknown name may have meant it. `below`: nor when a part
        of it was left out; False: a part of a part does not matter.
        """
        node = self.root
        for step in () if node.whole else path:
            if node.items is not None and isinstance(step, str):
                if step in node.gaps or step not in node.items:
                    return step not in node.gaps and None not in node.gaps
                node = node.items[step][1]
            elif node.children is not None and isinstance(step, int) and 0 <= step < len(node.children):
                node = node.children[step]
        return node.whole if below else not node.gaps

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Where the value (or its key) at path stands."""
        found = self.find(path)[0 if key else 1]
        return Position(self.file, found.line, found.column)

    def line(self, number: int) -> str:
        """The text of a line (1-based), without its end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def diagnostic(
        self, code: str, message: str, path: Path = (), *, hint: str = "", key: bool = False, severity: str = "error"
    ) -> Diagnostic:
        position = self.position(path, key=key)
        return Diagnostic(code, message, position, hint, severity, self.line(position.line))


class PolicySyntaxError(Exception):
    """The text is no YAML that we read. Holds the diagnostics found until then."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("bad YAML")
        self.diagnostics = list(diagnostics)


def scalar_of(text: str) -> Scalar:
    """The value of a plain scalar by the YAML 1.2 core schema."""
    if _NULL.match(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    if _OCTAL.match(text):
        return int(text[2:], 8)
    if _HEX.match(text):
        return int(text[2:], 16)
    if _FLOAT.match(text):
        return float(text)
    if infinity := _INFINITY.match(text):
        return -math.inf if infinity[1] == "-" else math.inf
    return math.nan if _NAN.match(text) else text


class Composer:
    """Builds the tree from parser events, without recursion, and counts what it builds."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.anchors: dict[str, Node] = {}
        self.open: list[tuple[Node, str | None, Node | None]] = []  # container, its anchor, a key without its value
        self.roots = 0
        self.total = 0

    def problem(self, code: str, message: str, line: int, column: int, hint: str = "") -> Diagnostic:
        position = Position(self.document.file, line, column)
        return Diagnostic(code, message, position, hint, "error", self.document.line(line))

    def fail(self, code: str, message: str, line: int, column: int, hint: str = "") -> PolicySyntaxError:
        return PolicySyntaxError(*self.document.diagnostics, self.problem(code, message, line, column, hint))

    def leave_out(self, container: Node, gap: str | None, diagnostic: Diagnostic) -> None:
        """Goes on without a key that cannot be used."""
        self.document.diagnostics.append(diagnostic)
        container.gaps |= {gap}
        self.mark_open()

    def mark_open(self) -> None:
        for container, _, _ in self.open:
            container.whole = False

    def add(self, node: Node, *, size: int) -> None:
        """Puts a finished scalar, a begun container or an aliased node into what is open."""
        self.total += size
        if self.total > MAX_NODES:
            raise self.fail("P106", f"more than {MAX_NODES} values, aliases expanded", node.line, node.column)
        if not self.open:
            self.roots += 1
            if self.roots > 1:
                raise self.fail(
                    "P104", "a second document in one file", node.line, node.column, "put it into a file of its own"
                )
            self.document.root = node
            return
        container, anchor, key = self.open[-1]
        if container.children is not None:
            container.children.append(node)
        elif key is None:
            self.open[-1] = (container, anchor, self.key(node))
        else:
            self.open[-1] = (container, anchor, None)
            self.put(container, key, node)

    def key(self, node: Node) -> Node:
        if node.items is not None or node.children is not None:
            raise self.fail("P104", "a mapping key must be plain text", node.line, node.column)
        return node

    def put(self, container: Node, key: Node, value: Node) -> None:
        assert container.items is not None
        text = str(key.value)
        if text == "<<":
            message = "merge keys (<<) are not YAML 1.2"
            hint = "use an alias (*name) for a whole value"
            self.leave_out(container, None, self.problem("P104", message, key.line, key.column, hint))
        elif text in container.items:
            first = container.items[text][0]
            message = f"duplicate key '{text}'"
            hint = f"it is first set on line {first.line}; remove one"
            self.leave_out(container, text, self.problem("P103", message, key.line, key.column, hint))
        else:
            container.items[text] = (key, value)

    def begin(self, node: Node, anchor: str | None) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise self.fail("P106", f"nested deeper than {MAX_DEPTH} levels", node.line, node.column)
        self.add(node, size=1)
        self.open.append((node, anchor, None))

    def end(self) -> None:
        node, anchor, _ = self.open.pop()
        if node.items is not None:
            node.size += sum(value.size + 1 for _, value in node.items.values())
        elif node.children is not None:
            node.size += sum(child.size for child in node.children)
        if anchor:
            self.anchors[anchor] = node

    def alias(self, name: str, line: int, column: int) -> None:
        target = self.anchors.get(name)
        if target is None:
            raise self.fail(
                "P105", f"alias '*{name}' names nothing that is complete here", line, column, f"define &{name} before"
            )
        if not target.whole:
            self.mark_open()
        self.add(target, size=target.size)

    def scalar(self, text: str, plain: bool, anchor: str | None, line: int, column: int) -> None:
        if _SURROGATE.search(text):
            raise self.fail(
                "P101", "half of a surrogate pair", line, column, "write \\U and eight digits for the character"
            )
        is_key = bool(self.open) and self.open[-1][0].items is not None and self.open[-1][2] is None
        node = Node(line, column, text if is_key or not plain else scalar_of(text))
        if anchor:
            self.anchors[anchor] = node
        self.add(node, size=1)

    def event(self, event: Any) -> None:
        kind = type(event).__name__
        if kind in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
            return
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if kind == "DocumentStartEvent":
            if event.version is not None and tuple(event.version) != (1, 2):
                line = next((i for i, text in enumerate(self.document.lines, 1) if text.startswith("%YAML")), line)
                raise self.fail("P104", "only YAML 1.2 is read", line, 1, "remove the %YAML directive")
            self.anchors.clear()
            return
        if kind == "MappingEndEvent" or kind == "SequenceEndEvent":
            self.end()
            return
        anchor = str(event.anchor) if event.anchor else None
        if kind == "AliasEvent":
            self.alias(anchor or "", line, column)
            return
        tag = getattr(event, "tag", None)
        if tag and str(tag) not in ("!", "None") and event_has_tag(event):
            raise self.fail(
                "P104", f"tags are not used here: {str(tag)[:60]}", line, column, "quote a value that begins with '!'"
            )
        if kind == "MappingStartEvent":
            self.begin(Node(line, column, items={}), anchor)
        elif kind == "SequenceStartEvent":
            self.begin(Node(line, column, children=[]), anchor)
        else:
            self.scalar(event.value, event.style in (None, "") and event.implicit[0], anchor, line, column)


def event_has_tag(event: Any) -> bool:
    """Was a tag written, or did the parser only say that there is none?"""
    implicit = event.implicit
    return not any(implicit) if isinstance(implicit, tuple) else not implicit


def events_of(text: str, *, pure: bool) -> Iterator[Any]:
    """Parser events. Pure Python tells the better errors; libyaml is some 25 times as fast."""
    return iter(YAML(typ="safe", pure=pure).parse(text))


def compose(text: str, file: str) -> Document:
    """The tree of a text. Raises PolicySyntaxError with what stopped the reading, and with what was found before."""
    pure = not LIBYAML or _RARE_BREAK.search(text) is not None
    try:
        return compose_with(text, file, pure=pure)
    except PolicySyntaxError as error:
        if pure or all(diagnostic.code != "P101" for diagnostic in error.diagnostics):
            raise
    return compose_with(text, file, pure=True)


def compose_with(text: str, file: str, *, pure: bool) -> Document:
    document = Document(file, _LINE_END.split(text))
    composer = Composer(document)
    try:
        for event in events_of(text, pure=pure):
            composer.event(event)
    except PolicySyntaxError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        told = " ".join(str(part).strip() for part in (error.context, error.problem) if part)
        raise composer.fail("P101", told or "not YAML", line, column, hint_for(document.line(line))) from None
    except ReaderError as error:
        offset = error.position if isinstance(error.position, int) and 0 <= error.position < len(text) else 0
        character = f"the character U+{ord(text[offset]) if text else 0:04X} is not allowed in YAML"
        raise composer.fail("P101", character, *place_of(text, offset)) from None
    except PARSER_TRIPS as error:
        raise composer.fail("P101", f"not YAML ({type(error).__name__})", 1, 1) from None
    if composer.roots == 0 or document.root.items is None:
        line, column = document.root.line, document.root.column
        raise composer.fail("P102", "a policy is a mapping", line, column, "begin with `version: 1`")
    return document


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character."""
    before = text[:offset]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def hint_for(line: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not tabs"
    if re.search(r"(?:[:\[,{]\s*|-\s+)[*&!%@`]", line):
        return "quote a value that begins with one of * & ! % @ `"
    return ""
