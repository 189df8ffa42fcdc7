"""One directive after another, out of the text of one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ratelimitd.waf.seclang.actions import ActionList, id_ranges, read_actions
from ratelimitd.waf.seclang.hints import did_you_mean
from ratelimitd.waf.seclang.operators import Reader, operator
from ratelimitd.waf.seclang.selectors import selectors
from ratelimitd.waf.seclang.source import RUNAWAY, RefusedError, Report, Source, shown
from ratelimitd.waf.seclang.tree import (
    Action,
    By,
    DefaultAction,
    Directive,
    Marker,
    Operator,
    RemoveRules,
    Rule,
    Script,
    Selector,
    Setting,
    UpdateAction,
    UpdateTarget,
)
from ratelimitd.waf.seclang.words import DIRECTIVES, DISRUPTIVE, SETTINGS

MAX_ARGUMENTS = 10_000  # of one directive
DEFAULT_PHASE = 2

_SPACE = re.compile(rb"(?:[ \t]+|\\\r?\n)*+")
_BLANK = re.compile(rb"(?:[ \t\r\n]+|\\\r?\n)*+")
_TO_ACTIONS = re.compile(rb"(?:[ \t]+|\\\r?\n)*+(?:\r?\n[ \t]*(?=\"))?")
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_LINE = re.compile(rb"[^\n]*\n?")
_LOGICAL_LINE = re.compile(rb"(?:[^\n\\]++|\\\r?\n|\\)*+")
# A comment goes on behind a backslash only when it hides a rule.
_HIDDEN_RULE = re.compile(
    rb"#[ \t]*(?:SecRule|SecAction)[^\\\n][^\n]*\\[ \t]*\r?\n(?:[^\n]*\\\r?\n)*[^\n]*\n?", re.IGNORECASE
)
_QUOTED = re.compile(rb"\"((?:[^\"\\]++|\\.)*+)\"", re.DOTALL)
_BARE = re.compile(rb"(?:[^\s\"\\]++|\\(?!\r?\n))++")
# Behind a list that was not closed: where its remaining lines end.
_RESUME = re.compile(rb"(?=\r?\n[ \t]*(?:Sec|Include|#|\r?\n|\Z))", re.IGNORECASE)
_CHAIN = re.compile(rb"\bchain\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Include:
    """`Include PATTERN`, to be replaced by what it finds."""

    pattern: str
    optional: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A directive with an error. `opens_chain`: the next rule is a link of its chain."""

    opens_chain: bool


Part: TypeAlias = Directive | Include | Broken
Argument: TypeAlias = tuple[bytes, int]  # the text, and where it starts
Made = TypeVar("Made")


def read_directives(source: Source, report: Report, read: Reader) -> Iterator[Part]:
    """Every directive of a file; an error costs one directive, never the rest."""
    text = source.text
    at = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    while True:
        blank = _BLANK.match(text, at)
        at = blank.end() if blank else at
        if at >= len(text):
            return
        if text[at : at + 1] == b"#":
            found = _HIDDEN_RULE.match(text, at) or _LINE.match(text, at)
            at = found.end() if found else len(text)
            continue
        line = _LOGICAL_LINE.match(text, at)
        end = line.end() if line else len(text)
        reader = _Reader(source, report, read, at)
        try:
            part = reader.directive()
            end = reader.at
        except RefusedError as problem:
            report.add(problem.code, problem.message, source, problem.offset, problem.hint)
            part = None
            if problem.code == "S204":
                rest = _RESUME.search(text, end)
                end = rest.start() if rest else len(text)
        yield part or Broken(_CHAIN.search(text, at, end) is not None)
        if report.full:
            return
        at = end


class _Reader:
    """Reads one directive. `at` moves on."""

    def __init__(self, source: Source, report: Report, read: Reader, at: int) -> None:
        self.source, self.report, self.read = source, report, read
        self.at = self.begin = at

    def directive(self) -> Part | None:
        """None: told already. Raises RefusedError."""
        found = _WORD.match(self.source.text, self.at)
        word = found[0].decode() if found else ""
        name = DIRECTIVES.get(word.lower())
        if found is None or name is None:
            line = self.source.text[self.at : self.at + 64].split(b"\n", 1)[0]
            message = f"unknown directive '{word[:64]}'" if word else f"expected a directive, got '{shown(line)}'"
            raise RefusedError("S201", message, self.at, did_you_mean(word, DIRECTIVES) if word else "")
        self.at = found.end()
        if name == "SecRule":
            return self.rule()
        if name in ("SecAction", "SecDefaultAction", "SecRuleScript", "SecRuleUpdateActionById"):
            return self.with_actions(name)
        arguments = self.arguments()
        if name in SETTINGS:
            return self.setting(name, arguments)
        if name.startswith("Include"):
            text, offset = self.only(name, arguments)
            return Include(text.decode("utf-8", "surrogateescape"), name != "Include", offset)
        if name == "SecMarker":
            marker = self.only(name, arguments)[0]
            return Marker(self.source.position(self.begin), _unquoted(marker))
        return self.update(name, arguments)

    # Arguments

    def skip(self) -> bool:
        """To the next argument; False where the line ends."""
        found = _SPACE.match(self.source.text, self.at)
        self.at = found.end() if found else self.at
        return self.source.text[self.at : self.at + 1] not in (b"", b"\r", b"\n")

    def argument(self) -> Argument:
        """The one that stands here."""
        text, at = self.source.text, self.at
        if text[at : at + 1] == b'"':
            found = _QUOTED.match(text, at)
            if found is None or (b"\n" in found[1] and RUNAWAY.search(found[1])):
                raise RefusedError("S204", "a double quote that is not closed", at)
            self.at = found.end()
            return found[1], at + 1
        found = _BARE.match(text, at)
        if found is None:
            raise RefusedError("S204", f"expected an argument, got '{shown(text[at : at + 1])}'", at)
        self.at = found.end()
        if text[self.at : self.at + 1] == b'"':
            raise RefusedError("S204", "a double quote within a word", self.at, "put the whole argument in quotes")
        return found[0], at

    def arguments(self) -> list[Argument]:
        """All up to the end of the line, or to a comment."""
        found: list[Argument] = []
        while self.skip() and not (found and self.source.text[self.at : self.at + 1] == b"#"):
            if len(found) == MAX_ARGUMENTS:
                raise RefusedError("S102", f"more than {MAX_ARGUMENTS} arguments", self.at)
            found.append(self.argument())
        self.finish()
        return found

    def finish(self) -> None:
        """Nothing but a comment may follow on the line."""
        if not self.skip():
            return
        line = _LINE.match(self.source.text, self.at)
        rest = line[0] if line else b""
        if not rest.startswith(b"#"):
            raise RefusedError("S202", f"one argument too many: '{shown(rest.rstrip())}'", self.at)
        self.at += len(rest)

    def only(self, name: str, arguments: list[Argument]) -> Argument:
        if not arguments or not arguments[0][0]:
            raise RefusedError("S202", f"{name} lacks its argument", self.begin)
        if len(arguments) > 1:
            raise RefusedError("S202", f"{name} takes one argument", arguments[1][1], "put it in double quotes")
        return arguments[0]

    # Directives

    def rule(self) -> Rule | None:
        if not self.skip():
            raise RefusedError("S202", "SecRule lacks its variables", self.begin)
        told = len(self.report.diagnostics)
        text, offset = self.argument()
        chosen = self.guarded(lambda: selectors(text, offset)) or ()
        if not self.skip():
            raise RefusedError(
                "S202", "SecRule lacks its operator", self.begin, 'write SecRule ARGS "@rx ..." "id:..."'
            )
        place = self.source.position(self.at)
        if self.source.text[self.at : self.at + 1] == b"'":
            raise RefusedError("S204", "single quotes around an operator", self.at, "use double quotes")
        tested = self.guarded(lambda: operator(*self.argument(), place, self.read))
        found = _TO_ACTIONS.match(self.source.text, self.at)
        self.at = found.end() if found else self.at
        listed = self.actions() if self.skip() and self.source.text[self.at : self.at + 1] != b"#" else ActionList(0)
        self.finish()
        return self.made(listed, chosen, tested) if len(self.report.diagnostics) == told else None

    def made(self, listed: ActionList, chosen: tuple[Selector, ...], tested: Operator | None) -> Rule:
        return Rule(
            self.source.position(self.begin),
            listed.number("id"),
            listed.number("phase") or DEFAULT_PHASE,
            chosen,
            tested,
            tuple(listed.transformations),
            _others(listed),
            None,
            listed.resets,
        )

    def guarded(self, read: Callable[[], Made]) -> Made | None:
        """Tells an error and goes on, so that all of one rule's errors are told at once."""
        try:
            return read()
        except RefusedError as problem:
            if problem.code == "S204":
                raise
            self.report.add(problem.code, problem.message, self.source, problem.offset, problem.hint)
            return None

    def actions(self) -> ActionList:
        listed = read_actions(self.source, self.at, self.report)
        self.at = listed.end
        return listed

    def with_actions(self, name: str) -> Part | None:
        """What has a list of actions, and no operator."""
        told = len(self.report.diagnostics)
        which: Argument = (b"", self.at)
        if name not in ("SecAction", "SecDefaultAction"):
            if not self.skip():
                raise RefusedError("S202", f"{name} lacks its argument", self.begin)
            which = self.argument()
        if not self.skip():
            raise RefusedError("S202", f"{name} lacks its actions", self.begin)
        listed = self.actions()
        self.finish()
        position = self.source.position(self.begin)
        made: Part
        if name == "SecDefaultAction":
            made = self.default(listed)
        elif name == "SecRuleUpdateActionById":
            made = self.update_action(which, listed)
        elif name == "SecRuleScript":
            path = which[0].decode("utf-8", "surrogateescape")
            number, phase = listed.number("id"), listed.number("phase") or DEFAULT_PHASE
            made = Script(position, number, phase, path, tuple(listed.transformations), _others(listed))
        else:
            made = self.made(listed, (), None)
        return made if len(self.report.diagnostics) == told else None

    def default(self, listed: ActionList) -> DefaultAction:
        position = self.source.position(self.begin)
        if listed.resets:
            raise RefusedError("S604", "SecDefaultAction cannot have t:none", self.begin)
        for action in listed.actions:
            if action.name in ("id", "chain", "skip", "skipAfter"):
                raise RefusedError("S604", f"SecDefaultAction cannot have '{action.name}'", self.begin)
        if not any(action.name in DISRUPTIVE for action in listed.actions):
            hint = "add pass, or deny"
            raise RefusedError("S604", "SecDefaultAction needs a disruptive action", self.begin, hint)
        actions = tuple(a for a in listed.actions if a.name != "phase")
        phase = listed.number("phase") or DEFAULT_PHASE
        return DefaultAction(position, phase, tuple(listed.transformations), actions)

    def update_action(self, which: Argument, listed: ActionList) -> UpdateAction:
        number, _, link = which[0].partition(b":")
        if not (number.isdigit() and len(number) < 19) or (link and not (link.isdigit() and len(link) < 10)):
            raise RefusedError("S403", f"not a rule id: '{shown(which[0])}'", which[1])
        position = self.source.position(self.begin)
        for action in listed.actions:
            if action.name in ("id", "phase"):
                raise RefusedError("S503", f"SecRuleUpdateActionById cannot change '{action.name}'", self.begin)
        return UpdateAction(
            position,
            int(number),
            int(link or 0),
            tuple(listed.transformations),
            tuple(listed.actions),
            listed.resets,
        )

    def update(self, name: str, arguments: list[Argument]) -> UpdateTarget | RemoveRules:
        by: By = "id" if name.endswith("ById") else "tag" if name.endswith("ByTag") else "msg"
        position = self.source.position(self.begin)
        if not arguments or not arguments[0][0]:
            raise RefusedError("S202", f"{name} lacks its argument", self.begin)
        if name.startswith("SecRuleRemove"):
            if by != "id":
                return RemoveRules(position, by, (), self.only(name, arguments)[0])
            ids = tuple(found for text, at in arguments for found in id_ranges(text, at))
            return RemoveRules(position, by, ids, b"")
        if len(arguments) != 2:
            at = arguments[2][1] if len(arguments) > 2 else self.begin
            hint = f'write {name} {"942100" if by == "id" else "..."} "!ARGS:name"'
            raise RefusedError("S202", f"{name} takes two arguments", at, hint)
        (text, at), (targets, targets_at) = arguments
        ids = id_ranges(text, at) if by == "id" else ()
        return UpdateTarget(position, by, ids, b"" if by == "id" else text, selectors(targets, targets_at))

    def setting(self, name: str, arguments: list[Argument]) -> Setting:
        spec = SETTINGS[name]
        position = self.source.position(self.begin)
        texts = tuple(text for text, _ in arguments)
        value: int | str | bytes | None = texts[0] if texts else None
        if spec.shape == "none":
            if arguments:
                raise RefusedError("S202", f"{name} takes no argument", arguments[0][1])
        elif spec.shape == "texts":
            if not arguments:
                raise RefusedError("S202", f"{name} lacks its argument", self.begin)
        elif spec.shape != "any":
            text, at = self.only(name, arguments)
            if spec.shape == "number":
                if not (text.isdigit() and len(text) < 19):
                    raise RefusedError("S203", f"{name} takes a number, got '{shown(text)}'", at)
                value = int(text)
            elif spec.shape != "text":
                word = text.decode("utf-8", "backslashreplace").lower()
                value = next((known for known in spec.shape if known.lower() == word), None)
                if value is None:
                    raise RefusedError(
                        "S203", f"{name} does not take '{shown(text)}'", at, f"one of {', '.join(spec.shape)}"
                    )
        return Setting(position, name, value, texts, spec.effect)


def _others(listed: ActionList) -> tuple[Action, ...]:
    """All actions but those that are the rule's own fields."""
    return tuple(action for action in listed.actions if action.name not in ("id", "phase"))


def _unquoted(name: bytes) -> bytes:
    """A marker may stand in single quotes, as it may in skipAfter."""
    return name[1:-1] if len(name) > 2 and name[:1] == name[-1:] == b"'" else name
