"""What a rule set says, as immutable values. Words are canonical; whatever may hold any byte is `bytes`.

Escapes are kept as they stand, as libmodsecurity 3 does: in `"@streq a\\"b"` the argument has its backslash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ratelimitd.errors import Position

By: TypeAlias = Literal["id", "tag", "msg"]
Operation: TypeAlias = Literal["=", "+", "-", "!", "bind", "expire", "deprecate"]
Effect: TypeAlias = Literal["used", "none", "refused"]


@dataclass(frozen=True, slots=True)
class Reference:
    """`%{tx.score}`: collection "TX", name b"score". `%{REQUEST_URI}` has no name."""

    collection: str
    name: bytes | None


Template: TypeAlias = tuple[bytes | Reference, ...]
"""Text with macros: literal bytes (never empty, never two in a row) and references. () is the empty text."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One variable of a rule: `ARGS`, `!ARGS:token`, `&REQUEST_COOKIES:/^_ga/`.

    At most one of `name` and `regex` is set. Names keep their case; most collections compare without it.
    """

    variable: str
    name: bytes | None = None
    regex: bytes | None = None
    count: bool = False
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class Phrases:
    """The lines of a `.data` file as the operator uses them: no comments, no empty lines. `files` were read."""

    files: tuple[str, ...]
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """`"!@rx ^a"`: name "rx", negated, argument b"^a". `phrases` of pmFromFile and ipMatchFromFile."""

    name: str
    argument: bytes
    template: Template
    negated: bool = False
    phrases: Phrases | None = None
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class SetVar:
    """`setvar:tx.a=1` (operation "="), `tx.a=+1` ("+"), `tx.a=-1` ("-"), `!tx.a` ("!", no value).

    `setvar:tx.a` is "=" with the value "1". `initcol:ip=key`, `setsid:key` and their kin are "bind", without a name;
    `expirevar:ip.a=60` is "expire", `deprecatevar:ip.a=60/300` "deprecate"."""

    collection: str
    name: Template
    operation: Operation
    value: Template


@dataclass(frozen=True, slots=True)
class IdRange:
    """Rule ids, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Ctl:
    """`ctl:ruleRemoveTargetById=942100;ARGS:q`: `ids` and `target`. By tag or message, `text` is which.

    For the other options `text` is the value: "Off", "XML", "+E".
    """

    option: str
    text: bytes
    ids: tuple[IdRange, ...] = ()
    target: Selector | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One action but `t:`. `value` is its argument, understood: see `words.ACTIONS` for which is which."""

    name: str
    argument: bytes | None
    value: SetVar | Ctl | Template | int | None
    position: Position


@dataclass(frozen=True, slots=True)
class Rule:
    """A SecRule, or a SecAction (no operator, no selectors), or a link of a chain (`id` 0 unless it has one).

    `transformations` are those that are applied: after the last t:none, behind SecDefaultAction's where there is none.
    A link has its chain's phase. `actions` are as written; `defaults` are SecDefaultAction's of the phase, for the
    chain's first rule.
    """

    position: Position
    id: int
    phase: int
    selectors: tuple[Selector, ...]
    operator: Operator | None
    transformations: tuple[str, ...]
    actions: tuple[Action, ...]
    chained: Rule | None = None
    resets: bool = False  # has a t:none: takes no transformations from SecDefaultAction
    defaults: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """SecRuleScript: a rule in Lua."""

    position: Position
    id: int
    phase: int
    path: str
    transformations: tuple[str, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Marker:
    """SecMarker: where skipAfter goes on."""

    position: Position
    name: bytes


@dataclass(frozen=True, slots=True)
class DefaultAction:
    """SecDefaultAction. There is at most one for a phase, and it holds for all rules, wherever it stands."""

    position: Position
    phase: int
    transformations: tuple[str, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A directive with plain arguments: SecRuleEngine, SecRequestBodyLimit.

    `value` is the first argument: a number, a word in its canonical spelling, or text. `effect`: "none" for what we
    accept and need not follow (logs, directories), "refused" for what changes what rules see and which we do not do.
    """

    position: Position
    name: str
    value: int | str | bytes | None
    arguments: tuple[bytes, ...]
    effect: Effect


@dataclass(frozen=True, slots=True)
class UpdateTarget:
    """SecRuleUpdateTargetById, ByTag, ByMsg: adds selectors to rules (or takes them out: `exclude`)."""

    position: Position
    by: By
    ids: tuple[IdRange, ...]
    text: bytes
    selectors: tuple[Selector, ...]


@dataclass(frozen=True, slots=True)
class UpdateAction:
    """SecRuleUpdateActionById ID:LINK: adds actions to a rule, or to a link of its chain (1: the one behind the first).

    What a rule has once (decision, message, severity) is replaced, what it may have often (setvar, tag, t) is added.

    `resets` and `transformations` as in a rule.
    """

    position: Position
    id: int
    link: int
    transformations: tuple[str, ...]
    actions: tuple[Action, ...]
    resets: bool


@dataclass(frozen=True, slots=True)
class RemoveRules:
    """SecRuleRemoveById, ByTag, ByMsg."""

    position: Position
    by: By
    ids: tuple[IdRange, ...]
    text: bytes


Directive: TypeAlias = Rule | Script | Marker | DefaultAction | Setting | UpdateTarget | UpdateAction | RemoveRules


@dataclass(frozen=True, slots=True)
class File:
    """A file that was read: a .conf or a .data. `sha256` in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """All directives in order, Include expanded, and all files they came from."""

    directives: tuple[Directive, ...]
    files: tuple[File, ...]

    def rules(self) -> tuple[Rule, ...]:
        """The rules, a chain as one."""
        return tuple(d for d in self.directives if isinstance(d, Rule))
