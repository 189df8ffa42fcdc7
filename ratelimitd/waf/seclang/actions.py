"""Lists of actions: `id:1,phase:2,t:none,msg:'a, b',setvar:'tx.a=+1'`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ratelimitd.waf.seclang.hints import did_you_mean
from ratelimitd.waf.seclang.macros import template
from ratelimitd.waf.seclang.selectors import selectors
from ratelimitd.waf.seclang.source import RUNAWAY, RefusedError, Report, Source, shown
from ratelimitd.waf.seclang.tree import Action, Ctl, IdRange, Operation, SetVar, Template
from ratelimitd.waf.seclang.words import (
    ACTION_WORDS,
    ACTIONS,
    CTL_OPTIONS,
    CTL_WORDS,
    PERSISTENT,
    PHASES,
    SETTABLE,
    SEVERITIES,
    TRANSFORMATION_ALIASES,
    TRANSFORMATIONS,
)

MAX_ACTIONS = 1000  # of one rule
MAX_BYTES = 64 * 1024  # of one action

_SPACE = re.compile(rb"(?:[ \t]+|\\\r?\n)*+")
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_SINGLE = re.compile(rb"'((?:[^'\\]++|\\.)*+)'", re.DOTALL)
_BARE = re.compile(rb"(?:[^,\"\r\n\\]++|\\[\"\\]|\\(?!\r?\n))*+")
_WORD = re.compile(rb"[^,\s]*")
_SETVAR = re.compile(rb"(!?)([A-Za-z]+)[:.]")
_NUMBER = re.compile(rb"[0-9]{1,18}\Z")
_RANGE = re.compile(rb"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})\s*)?\Z")
_AUDIT_PARTS = re.compile(rb"[+-]?[A-Za-z]+\Z")

# A number, or a macro that may be one.
_TIMES = {
    "expirevar": re.compile(rb"\s*(?:[0-9]{1,18}|.*%\{.*)\s*\Z", re.DOTALL),
    "deprecatevar": re.compile(rb"\s*[0-9]{1,18}\s*/\s*[0-9]{1,18}\s*\Z|.*%\{", re.DOTALL),
}
_COLLECTION_OF = {"setrsc": "RESOURCE", "setsid": "SESSION", "setuid": "USER"}

Value = SetVar | Ctl | Template | int | None


@dataclass(slots=True)
class ActionList:
    """A list as it was read. `transformations` behind the last t:none; `end` is the offset behind the list."""

    end: int
    actions: list[Action] = field(default_factory=list)
    transformations: list[str] = field(default_factory=list)
    resets: bool = False

    def last(self, name: str) -> Action | None:
        """The action that counts where one may stand several times."""
        return next((a for a in reversed(self.actions) if a.name == name), None)

    def number(self, name: str) -> int:
        """The number of an action; 0 without it."""
        action = self.last(name)
        return action.value if action is not None and isinstance(action.value, int) else 0


def read_actions(source: Source, at: int, report: Report) -> ActionList:
    """The list at an offset: in double quotes, or without up to a space.

    What is wrong with one action is told and keeps none of the others from being read. Raises RefusedError when the
    list cannot be read on.
    """
    text = source.text
    quoted = text[at : at + 1] == b'"'
    result = ActionList(at)
    at = _skip(text, at + quoted)
    while True:
        at = _one(source, at, quoted, result, report)
        at = _skip(text, at) if quoted else at
        mark = text[at : at + 1]
        if mark == b'"' if quoted else mark == b"" or mark.isspace():
            result.end = at + quoted
            return result
        if mark != b",":
            raise _unexpected(text, at)
        if len(result.actions) + len(result.transformations) >= MAX_ACTIONS:
            raise RefusedError("S102", f"more than {MAX_ACTIONS} actions", at)
        at = _skip(text, at + 1)


def _skip(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _unexpected(text: bytes, at: int) -> RefusedError:
    if text[at : at + 1] in (b"", b"\r", b"\n"):
        hint = "end the line with a backslash if it goes on, or close the list with a double quote"
        return RefusedError("S204", "the list of actions is not closed", max(at - 1, 0), hint)
    rest = text[at : at + 64].split(b"\n", 1)[0]
    return RefusedError("S502", f"expected ',' between two actions, got '{shown(rest)}'", at)


def _one(source: Source, at: int, quoted: bool, result: ActionList, report: Report) -> int:
    """Reads one action into the result; the offset behind it. Raises RefusedError when the list cannot go on."""
    text = source.text
    found = _NAME.match(text, at)
    if found is None:
        if text[at : at + 1] in (b"", b"\r", b"\n"):
            raise _unexpected(text, at)
        rest = text[at : at + 24].split(b"\n", 1)[0]
        raise RefusedError("S502", f"expected an action, got '{shown(rest)}'", at)
    end = found.end()
    argument: bytes | None = None
    start = end
    if text[end : end + 1] == b":":
        argument, start, end = _argument(text, end + 1, quoted)
    try:
        _understand(source, found, argument, start, result)
    except RefusedError as problem:
        report.add(problem.code, problem.message, source, problem.offset, problem.hint)
    return end


def _argument(text: bytes, at: int, quoted: bool) -> tuple[bytes, int, int]:
    """(argument, where it starts, where the next begins)."""
    if text[at : at + 1] == b"'":
        found = _SINGLE.match(text, at)
        if found is None or (b"\n" in found[1] and RUNAWAY.search(found[1])):
            raise RefusedError("S204", "a single quote that is not closed", at)
        return found[1], at + 1, found.end()
    bare = (_BARE if quoted else _WORD).match(text, at)
    return (bare[0].rstrip(b" \t"), at, bare.end()) if bare else (b"", at, at)


def _understand(source: Source, found: re.Match[bytes], argument: bytes | None, start: int, result: ActionList) -> None:
    word = found[0].decode()
    if word in ("t", "T"):
        _transformation(argument, start, result)
        return
    name = ACTION_WORDS.get(word.lower())
    if name is None:
        raise RefusedError("S501", f"unknown action '{word[:64]}'", found.start(), did_you_mean(word, ACTION_WORDS))
    kind = ACTIONS[name]
    if argument is not None and len(argument) > MAX_BYTES:
        raise RefusedError("S102", f"'{name}' has an argument longer than {MAX_BYTES} bytes", start)
    if kind == "flag" and argument is not None:
        raise RefusedError("S503", f"'{name}' takes no argument", start)
    if kind not in ("flag", "optional") and not argument and not (name == "allow" and argument is None):
        raise RefusedError("S503", f"'{name}' lacks its argument", found.end())
    value: Value = None
    if argument is not None:
        value = _value(name, kind, argument, start)
    result.actions.append(Action(name, argument, value, source.position(found.start())))


def _transformation(argument: bytes | None, start: int, result: ActionList) -> None:
    word = (argument or b"").decode("utf-8", "backslashreplace")
    if word.lower() == "none":
        result.transformations.clear()
        result.resets = True
        return
    name = TRANSFORMATIONS.get(word.lower()) or TRANSFORMATION_ALIASES.get(word.lower())
    if name is None:
        message = f"unknown transformation '{word[:64]}'" if word else "'t' lacks its argument"
        raise RefusedError("S504", message, start, did_you_mean(word, TRANSFORMATIONS))
    result.transformations.append(name)


def _value(name: str, kind: str, argument: bytes, start: int) -> Value:
    if kind in ("text", "optional"):
        return template(argument, start)
    if kind == "number":
        if not _NUMBER.match(argument):
            raise RefusedError("S503", f"'{name}' takes a number, got '{shown(argument)}'", start)
        return int(argument)
    if kind == "setvar":
        return _setvar(argument, start)
    if kind == "collection":
        return _initcol(argument, start)
    if kind == "key":
        return SetVar(_COLLECTION_OF[name], (), "bind", template(argument, start))
    if kind == "over time":
        return _over_time(name, argument, start)
    if kind == "ctl":
        return _ctl(argument, start)
    if kind == "phase":
        number = PHASES.get(argument.lower(), int(argument) if _NUMBER.match(argument) else 0)
        if not 1 <= number <= 5:
            hint = "1 to 5, request, response, or logging"
            raise RefusedError("S503", f"unknown phase '{shown(argument)}'", start, hint)
        return number
    if kind == "severity":
        known = argument.lower()
        number = SEVERITIES.index(known) if known in SEVERITIES else int(known) if _NUMBER.match(known) else 8
        if number > 7:
            raise RefusedError("S503", f"unknown severity '{shown(argument)}'", start, "0 to 7, or EMERGENCY to DEBUG")
        return number
    if name == "allow" and argument.lower() not in (b"phase", b"request"):
        raise RefusedError("S503", f"'allow' takes phase or request, got '{shown(argument)}'", start)
    return None


def _setvar(argument: bytes, start: int) -> SetVar:
    found = _SETVAR.match(argument)
    if found is None:
        raise RefusedError("S506", f"not a variable: '{shown(argument)}'", start, "write setvar:'tx.name=value'")
    collection = found[2].decode().upper()
    if collection not in SETTABLE:
        hint = f"one of {', '.join(sorted(SETTABLE))}"
        raise RefusedError("S506", f"'{shown(found[2])}' cannot be set", start + found.start(2), hint)
    rest, at = argument[found.end() :], start + found.end()
    equals = _equals(rest)
    name = template(rest if equals < 0 else rest[:equals], at)
    if not name:
        raise RefusedError("S506", "the variable has no name", at)
    if found[1]:
        if equals >= 0:
            raise RefusedError("S506", "a variable that is unset takes no value", at + equals)
        return SetVar(collection, name, "!", ())
    if equals < 0:
        return SetVar(collection, name, "=", (b"1",))
    mark = rest[equals + 1 : equals + 2]
    signed = mark in (b"+", b"-")
    value = rest[equals + 1 + signed :]
    operation: Operation = "+" if mark == b"+" else "-" if mark == b"-" else "="
    return SetVar(collection, name, operation, template(value, at + equals + 1 + signed))


def _initcol(argument: bytes, start: int) -> SetVar:
    """`ip=%{REMOTE_ADDR}`"""
    word, equals, key = argument.partition(b"=")
    collection = word.decode("utf-8", "backslashreplace").upper()
    if collection not in PERSISTENT:
        hint = f"one of {', '.join(sorted(PERSISTENT))}"
        raise RefusedError("S506", f"'{shown(word)}' is no collection that is kept", start, hint)
    if not equals or not key:
        raise RefusedError(
            "S506", f"'{shown(word)}' lacks its key", start + len(word), "write initcol:ip=%{REMOTE_ADDR}"
        )
    return SetVar(collection, (), "bind", template(key, start + len(word) + 1))


def _over_time(name: str, argument: bytes, start: int) -> SetVar:
    """`ip.a=60`, `ip.a=60/300`"""
    found = _SETVAR.match(argument)
    equals = _equals(argument)
    example = "expirevar:'ip.name=60'" if name == "expirevar" else "deprecatevar:'ip.name=60/300'"
    if found is None or found[1] or found[2].decode().upper() not in SETTABLE or equals <= found.end():
        raise RefusedError("S506", f"not a variable and a time: '{shown(argument)}'", start, f"write {example}")
    value = argument[equals + 1 :]
    if not _TIMES[name].match(value):
        raise RefusedError("S506", f"not a time: '{shown(value)}'", start + equals + 1, f"write {example}")
    collection = found[2].decode().upper()
    operation: Operation = "expire" if name == "expirevar" else "deprecate"
    variable = template(argument[found.end() : equals], start + found.end())
    return SetVar(collection, variable, operation, template(value, start + equals + 1))


def _equals(text: bytes) -> int:
    """The first '=' outside of a macro; -1 without one."""
    depth_end = 0
    while True:
        equals = text.find(b"=", depth_end)
        macro = text.find(b"%{", depth_end)
        if macro < 0 or equals < macro:
            return equals
        closed = text.find(b"}", macro)
        if closed < 0:
            return equals
        depth_end = closed + 1


def _ctl(argument: bytes, start: int) -> Ctl:
    word, equals, text = argument.partition(b"=")
    option = CTL_WORDS.get(word.decode("utf-8", "backslashreplace").lower())
    if option is None:
        hint = did_you_mean(word.decode("utf-8", "backslashreplace"), CTL_WORDS)
        raise RefusedError("S505", f"unknown ctl option '{shown(word)}'", start, hint)
    at = start + len(word) + 1
    if not equals or not text:
        raise RefusedError("S505", f"ctl:{option} lacks its value", start + len(word), f"write ctl:{option}=...")
    allowed = CTL_OPTIONS[option]
    if allowed is not None:
        known = {w.lower(): w for w in allowed}
        value = known.get(text.decode("utf-8", "backslashreplace").lower())
        if value is None:
            raise RefusedError(
                "S505", f"ctl:{option} does not take '{shown(text)}'", at, f"one of {', '.join(allowed)}"
            )
        return Ctl(option, value.encode())
    if option == "auditLogParts":
        if not _AUDIT_PARTS.match(text):
            raise RefusedError("S505", f"not parts of a log: '{shown(text)}'", at)
        return Ctl(option, text)
    if not option.startswith("ruleRemoveTarget"):
        return Ctl(option, text, id_ranges(text, at) if option == "ruleRemoveById" else ())
    which, semicolon, target = text.partition(b";")
    if not semicolon or not target:
        raise RefusedError("S505", f"ctl:{option} lacks a target", at, f"write ctl:{option}=...;ARGS:name")
    targets = selectors(target, at + len(which) + 1)
    if len(targets) != 1 or targets[0].exclude or targets[0].count:
        raise RefusedError("S505", f"ctl:{option} takes one plain target", at + len(which) + 1)
    return Ctl(option, which, id_ranges(which, at) if option == "ruleRemoveTargetById" else (), targets[0])


def id_ranges(text: bytes, at: int) -> tuple[IdRange, ...]:
    """`1 3-5,7`: ids and ranges of ids, by spaces or commas. Raises RefusedError."""
    ranges: list[IdRange] = []
    for part in re.finditer(rb"[^\s,]+", text):
        found = _RANGE.match(part[0])
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            hint = "write an id, or a range like 942100-942199"
            raise RefusedError("S403", f"not a rule id: '{shown(part[0])}'", at + part.start(), hint)
        ranges.append(IdRange(first, last))
    if not ranges:
        raise RefusedError("S403", "no rule id", at)
    return tuple(ranges)
