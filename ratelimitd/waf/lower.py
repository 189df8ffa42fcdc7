"""From the syntax tree to links, rule by rule. What the engine cannot do becomes a link that says so: whether that
matters is known only when what never runs has been folded away.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from ratelimitd.errors import Position
from ratelimitd.waf.phrases import pm_phrases
from ratelimitd.waf.program import (
    Change,
    Control,
    Ctl,
    Disruption,
    Engine,
    Link,
    Operator,
    Processor,
    Reference,
    Selector,
    SetVariable,
    Text,
    Variable,
)
from ratelimitd.waf.seclang import tree
from ratelimitd.waf.transformation import Transformation

NUMERIC = {"eq": Operator.EQ, "ge": Operator.GE, "gt": Operator.GT, "le": Operator.LE, "lt": Operator.LT}
OPERATORS = {
    "beginsWith": Operator.BEGINS_WITH,
    "contains": Operator.CONTAINS,
    "containsWord": Operator.CONTAINS_WORD,
    "detectSQLi": Operator.DETECT_SQLI,
    "detectXSS": Operator.DETECT_XSS,
    "endsWith": Operator.ENDS_WITH,
    "geoLookup": Operator.GEO_LOOKUP,
    "ipMatch": Operator.IP_MATCH,
    "ipMatchFromFile": Operator.IP_MATCH,
    "noMatch": Operator.NO_MATCH,
    "pm": Operator.PHRASES,
    "pmFromFile": Operator.PHRASES,
    "rbl": Operator.BLOCKLIST,
    "rx": Operator.RX,
    "rxGlobal": Operator.RX_GLOBAL,
    "streq": Operator.STREQ,
    "strmatch": Operator.STRMATCH,
    "unconditionalMatch": Operator.UNCONDITIONAL,
    "validateByteRange": Operator.VALIDATE_BYTE_RANGE,
    "validateUrlEncoding": Operator.VALIDATE_URL_ENCODING,
    "validateUtf8Encoding": Operator.VALIDATE_UTF8_ENCODING,
    "verifyCC": Operator.VERIFY_CC,
    "verifyCPF": Operator.VERIFY_CPF,
    "verifySSN": Operator.VERIFY_SSN,
    "verifySVNR": Operator.VERIFY_SVNR,
    "within": Operator.WITHIN,
    **NUMERIC,
}
BY_LOWER = {word.lower(): operator for word, operator in OPERATORS.items()}

ALIASES = {
    "FILES_NAMES": "FILES_NAMES",
    "MULTIPART_MISSING_SEMICOLON": "MULTIPART_SEMICOLON_MISSING",
    "REQBODY_PROCESSOR_ERROR": "REQBODY_ERROR",
    "REQBODY_PROCESSOR_ERROR_MSG": "REQBODY_ERROR_MSG",
    "STATUS": "RESPONSE_STATUS",
}
ENGINES = {b"Off": Engine.OFF, b"DetectionOnly": Engine.DETECTION_ONLY, b"On": Engine.ON}
PROCESSORS = {
    b"URLENCODED": Processor.URLENCODED,
    b"MULTIPART": Processor.MULTIPART,
    b"JSON": Processor.JSON,
    b"XML": Processor.XML,
}
LEAVE_OUT = "take the rule out: SecRuleRemoveById"
# Of the Core Rule Set 3.3: a blocklist has been asked, so it is not asked again for a day. Here answers are kept, each
# for its time, and the first request would note as asked what nobody has answered yet.
ASKED = ("IP", (b"previous_rbl_check",))
RULE_FACTS = frozenset({"logdata", "msg", "rev", "severity", "ver"})
CHANGES = {
    "=": Change.SET,
    "+": Change.ADD,
    "-": Change.SUBTRACT,
    "!": Change.UNSET,
    "bind": Change.BIND,
    "expire": Change.EXPIRE,
    "deprecate": Change.DEPRECATE,
}
TRANSFORMATIONS = {kind.name.replace("_", "").lower(): kind for kind in Transformation}


Node = TypeVar("Node")
Made = TypeVar("Made")


class UnsupportedError(Exception):
    """What the engine cannot do: the construct's name."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True, slots=True)
class Removal:
    """A ctl that removes rules, or a target of them: which rules is known when all are."""

    control: Control
    ids: tuple[tree.IdRange, ...] = ()
    tag: bytes = b""
    selector: Selector | None = None
    which: tuple[Container[Lowered], ...] = ()


@dataclass(frozen=True, slots=True)
class Lowered:
    """One rule. `unsupported` of its links, by index; `skip` is a marker's name."""

    position: Position
    id: int
    phase: int
    links: tuple[Link, ...]
    removals: tuple[tuple[int, Removal], ...] = ()  # index of the link, what it removes
    skip: bytes | None = None
    unsupported: tuple[UnsupportedError, ...] = ()


def variable(name: str, selector: bytes | None) -> Variable:
    if name == "XML":
        if selector == b"/*":
            return Variable.XML_TEXT
        if selector == b"//@*":
            return Variable.XML_ATTRIBUTES
        raise UnsupportedError("XML with another path than /* and //@*")
    try:
        return Variable[ALIASES.get(name, name)]
    except KeyError:
        raise UnsupportedError(f"the variable {name}") from None


def selector(node: tree.Selector) -> Selector:
    made = variable(node.variable, node.name)
    name = b"" if node.variable == "XML" else (node.name or b"").lower()
    return Selector(made, name, node.regex or b"", node.count, node.exclude)


def text(template: tree.Template) -> Text:
    return tuple(part if isinstance(part, bytes) else reference(part) for part in template)


def reference(node: tree.Reference) -> Reference:
    return Reference(variable(node.collection, node.name), (node.name or b"").lower())


def written(node: tree.Reference) -> bytes:
    """The macro itself."""
    return b"%%{%b%b%b}" % (node.collection.encode(), b"" if node.name is None else b".", node.name or b"")


def transformation(name: str) -> Transformation:
    try:
        return TRANSFORMATIONS[name.lower()]
    except KeyError:
        raise UnsupportedError(f"t:{name}") from None


def set_variable(node: tree.SetVar) -> SetVariable:
    change = CHANGES[node.operation]
    name = tuple(part.lower() if isinstance(part, bytes) else part for part in text(node.name))
    return SetVariable(Variable[node.collection], name, change, text(node.value))


def ctl(node: tree.Ctl) -> Ctl | Removal | None:
    """None: it changes nothing here."""
    if node.option in ("ruleRemoveById", "ruleRemoveByTag"):
        return Removal(Control.REMOVE_RULES, node.ids, b"" if node.ids else node.text)
    if node.option in ("ruleRemoveTargetById", "ruleRemoveTargetByTag"):
        assert node.target is not None
        return Removal(Control.REMOVE_TARGETS, node.ids, b"" if node.ids else node.text, selector(node.target))
    if node.option == "ruleEngine":
        return Ctl(Control.ENGINE, ENGINES[node.text])
    if node.option == "requestBodyProcessor":
        return Ctl(Control.BODY_PROCESSOR, PROCESSORS[node.text])
    if node.option == "forceRequestBodyVariable":
        return Ctl(Control.FORCE_BODY, node.text == b"On")
    if node.option == "requestBodyAccess":
        return Ctl(Control.BODY_ACCESS, node.text == b"On")
    if node.option in ("auditEngine", "auditLogParts") or (node.option, node.text) == ("parseXmlIntoArgs", b"Off"):
        return None
    raise UnsupportedError(f"ctl:{node.option}")


class _Rule:
    """One link while it is being read."""

    def __init__(self, node: tree.Rule, first: tree.Rule) -> None:
        self.node, self.first = node, first
        self.unsupported: list[UnsupportedError] = []
        self.removals: list[Removal] = []

    def all(self, name: str) -> list[tree.Action]:
        return [a for a in self.node.actions if a.name == name]

    def last(self, *names: str) -> tree.Action | None:
        found = [a for a in (*self.node.defaults, *self.node.actions) if a.name in names]
        return found[-1] if found else None

    def link(self) -> Link:
        node = self.node
        status = self.last("status")
        severity = self.last("severity")
        messages, tags = self.all("msg"), self.all("tag")
        log = self.last("log", "nolog")
        operator, negated, argument, words = self.operator()
        return Link(
            rule=self.first.id,
            phase=self.first.phase,
            selectors=tuple(s for s in map(self.tried(selector), node.selectors) if s),
            operator=operator,
            negated=negated,
            argument=argument,
            phrases=words,
            transformations=tuple(t for t in map(self.tried(transformation), node.transformations) if t is not None),
            multi_match=bool(self.all("multiMatch")),
            capture=bool(self.all("capture")),
            sets=self.sets(),
            ctls=self.ctls(),
            chained=node.chained is not None,
            disruption=self.disruption(),
            status=status.value if status and isinstance(status.value, int) else 0,
            log=log is None or log.name == "log",
            message=self.spoken(messages),
            tags=tuple(b"".join(p for p in self.spoken([t]) if isinstance(p, bytes)) for t in tags),
            severity=severity.value if severity and isinstance(severity.value, int) else -1,
            origin=f"{node.position.file}:{node.position.line}",
        )

    def tried(self, read: Callable[[Node], Made]) -> Callable[[Node], Made | None]:
        """read, with what it cannot do kept as such."""

        def guarded(node: Node) -> Made | None:
            try:
                return read(node)
            except UnsupportedError as error:
                self.unsupported.append(error)
                return None

        return guarded

    def spoken(self, actions: list[tree.Action]) -> Text:
        """What an action says, for people: macros stay as they are written."""
        if not actions or not isinstance(actions[-1].value, tuple):
            return ()
        words = b"".join(part if isinstance(part, bytes) else written(part) for part in actions[-1].value)
        return (words,) if words else ()

    def operator(self) -> tuple[Operator, bool, Text, tuple[bytes, ...]]:
        node = self.node.operator
        if node is None:
            return Operator.UNCONDITIONAL, False, (), ()
        known = BY_LOWER.get(node.name.lower())
        if known is None:
            self.unsupported.append(UnsupportedError(f"the operator @{node.name}"))
            return Operator.NO_MATCH, False, (), ()
        argument = self.tried(text)(self.filled(node.template)) or ()
        words: tuple[bytes, ...] = ()
        if known == Operator.PHRASES:
            words = node.phrases.lines if node.phrases else pm_phrases(node.argument)
        elif known == Operator.IP_MATCH and node.phrases:
            argument = (b",".join(node.phrases.lines),)
        return known, node.negated, argument, words

    def filled(self, template: tree.Template) -> tree.Template:
        """With what it says of its own rule (%{rule.msg}): the first link's."""
        parts: list[bytes | tree.Reference] = []
        for part in template:
            if isinstance(part, tree.Reference) and part.collection == "RULE":
                parts += self.fact((part.name or b"").lower().decode("utf-8", "replace"))
            else:
                parts.append(part)
        return tuple(parts)

    def fact(self, name: str) -> tree.Template:
        if name == "id":
            return (b"%d" % self.first.id,)
        said = [action for action in self.first.actions if action.name == name]
        if name not in RULE_FACTS:
            self.unsupported.append(UnsupportedError(f"%{{rule.{name}}}"))
        if not said:
            return ()
        value = said[-1].value
        if isinstance(value, int):
            return (b"%d" % value,)
        return value if isinstance(value, tuple) else (said[-1].argument or b"",)

    def sets(self) -> tuple[SetVariable, ...]:
        """In their order: a collection has its key only behind its initcol. Variables of TX end before they expire."""
        nodes = [action.value for action in self.node.actions if isinstance(action.value, tree.SetVar)]
        kept = [n for n in nodes if n.collection != "TX" or n.operation not in ("expire", "deprecate")]
        kept = [n for n in kept if (n.collection, n.name) != ASKED]
        spelt = [replace(n, name=self.filled(n.name), value=self.filled(n.value)) for n in kept]
        return tuple(made for made in map(self.tried(set_variable), spelt) if made)

    def ctls(self) -> tuple[Ctl, ...]:
        made = []
        for action in self.all("ctl"):
            lowered = self.tried(ctl)(cast(tree.Ctl, action.value))
            if isinstance(lowered, Removal):
                self.removals.append(lowered)
            elif lowered is not None:
                made.append(lowered)
        return tuple(made)

    def disruption(self) -> Disruption:
        for action in reversed(self.node.actions):
            name = action.name
            if name == "block":
                defaults = [
                    a.name for a in self.node.defaults if a.name in ("deny", "drop", "redirect", "proxy", "allow")
                ]
                name = defaults[-1] if defaults else "pass"
            if name in ("deny", "drop", "redirect", "proxy"):
                return Disruption.DENY
            if name == "allow":
                how = {b"phase": Disruption.ALLOW_PHASE, b"request": Disruption.ALLOW_REQUEST}
                return how.get(action.argument or b"", Disruption.ALLOW)
            if name == "pass":
                return Disruption.NONE
        return Disruption.NONE


def links_of(rule: tree.Rule) -> Iterable[tree.Rule]:
    node: tree.Rule | None = rule
    while node is not None:
        yield node
        node = node.chained


def lower(rule: tree.Rule) -> Lowered:
    """The rule's chain as links."""
    links: list[Link] = []
    removals: list[tuple[int, Removal]] = []
    unsupported: list[UnsupportedError] = []
    skip = None
    for index, node in enumerate(links_of(rule)):
        reader = _Rule(node, rule)
        links.append(reader.link())
        removals += [(index, removal) for removal in reader.removals]
        unsupported += reader.unsupported
        for action in node.actions:
            if action.name == "skipAfter":
                skip = action.argument
            elif action.name in ("exec", "proxy", "skip", "append", "prepend"):
                unsupported.append(UnsupportedError(f"the action {action.name}"))
    return Lowered(rule.position, rule.id, rule.phase, tuple(links), tuple(removals), skip, tuple(unsupported))
