"""Operators: `"!@rx ^a"`, `"^a"`, `"@pmFromFile words.data"`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable

from ratelimitd.errors import Position
from ratelimitd.waf.seclang.hints import did_you_mean
from ratelimitd.waf.seclang.macros import template
from ratelimitd.waf.seclang.source import RefusedError, UnreadableError, shown
from ratelimitd.waf.seclang.tree import Operator, Phrases
from ratelimitd.waf.seclang.words import FROM_FILE, NO_ARGUMENT, OPERATOR_ALIASES, OPERATORS

MAX_LINES = 1_000_000  # of one .data file
MAX_BYTES = 256 * 1024  # of one argument

_OPERATOR = re.compile(rb"(!?)@([A-Za-z][A-Za-z0-9_]*)( ?)")
_BYTE_RANGE = re.compile(rb"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")

Reader = Callable[[str], bytes]
"""Reads a file by its path. Raises UnreadableError."""


def operator(text: bytes, offset: int, position: Position, read: Reader) -> Operator:
    """The operator of an argument that stands at an offset. Raises RefusedError."""
    if len(text) > MAX_BYTES:
        raise RefusedError("S102", f"an operator longer than {MAX_BYTES} bytes", offset)
    found = _OPERATOR.match(text)
    _not_escaped_quote(text, found.end() if found else 0, offset)
    if found is None:
        negated = text.startswith(b"!")
        pattern = text[negated:]
        if not pattern:
            raise RefusedError("S402", "an empty operator", offset, 'write "@unconditionalMatch" or a pattern')
        return Operator("rx", pattern, template(pattern, offset + negated), negated, None, position)
    negated, word = bool(found[1]), found[2].decode()
    name = OPERATOR_ALIASES.get(word.lower(), word.lower())
    if name not in OPERATORS:
        hint = did_you_mean(word, OPERATORS) or "a pattern that begins with '@' is written '@rx @...'"
        raise RefusedError("S401", f"unknown operator '@{word[:64]}'", offset + found.start(2) - 1, hint)
    argument = text[found.end() :]
    at = offset + found.end()
    if argument and not found[3]:
        raise RefusedError("S402", f"expected a space after @{OPERATORS[name]}, got '{shown(argument)}'", at)
    if name in NO_ARGUMENT:
        if argument.strip(b" \t"):
            raise RefusedError("S402", f"@{OPERATORS[name]} takes no argument", at)
        return Operator(name, b"", (), negated, None, position)
    if not argument:
        raise RefusedError("S402", f"@{OPERATORS[name]} lacks its argument", at)
    parts = template(argument, at)
    _check(name, argument, at)
    phrases = _phrases(name, argument, at, position.file, read) if name in FROM_FILE else None
    return Operator(name, argument, parts, negated, phrases, position)


def _not_escaped_quote(text: bytes, at: int, offset: int) -> None:
    """libmodsecurity needs a character before the backslash to see that the quote is escaped."""
    if text.startswith(b'\\"', at):
        hint = "ModSecurity ends the operator at this quote; write \\x22 in a pattern"
        raise RefusedError("S204", "an argument that begins with an escaped quote", offset + at, hint)


def _check(name: str, argument: bytes, at: int) -> None:
    """What libmodsecurity refuses when it loads a rule."""
    if name == "validatebyterange":
        byte_ranges(argument, at)
    elif name == "ipmatch":
        for part in argument.split(b","):
            try:
                ipaddress.ip_network(part.strip().decode("ascii", "replace"), strict=False)
            except ValueError:
                raise RefusedError("S403", f"not an address or a network: '{shown(part)}'", at) from None
            at += len(part) + 1


def byte_ranges(argument: bytes, at: int = 0) -> tuple[tuple[int, int], ...]:
    """`1-255, 9` as pairs, both ends included. Raises RefusedError."""
    ranges: list[tuple[int, int]] = []
    for part in argument.split(b","):
        found = _BYTE_RANGE.fullmatch(part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last > 255:
            raise RefusedError("S403", f"not a range of bytes: '{shown(part)}'", at, "write 9,10,32-126")
        ranges.append((first, last))
        at += len(part) + 1
    return tuple(ranges)


def _phrases(name: str, argument: bytes, at: int, file: str, read: Reader) -> Phrases:
    words = argument.split()
    if not words:
        raise RefusedError("S402", "the name of a file is missing", at)
    files: list[str] = []
    lines: list[bytes] = []
    for word in words:
        if word.lower().startswith((b"http://", b"https://")):
            raise RefusedError("S101", f"{shown(word)}: rules are not fetched", at, "keep the file beside the rules")
        path = os.path.join(os.path.dirname(file), os.fsdecode(word))
        try:
            data = read(path)
        except UnreadableError as problem:
            raise RefusedError(problem.code, f"cannot read '{shown(word, 200)}': {problem}", at) from None
        if data.count(b"\n") > MAX_LINES:
            raise RefusedError("S102", f"'{shown(word, 200)}' has more than {MAX_LINES} lines", at)
        files.append(path)
        lines += _phrase_lines(data) if name == "pmfromfile" else _address_lines(data)
    return Phrases(tuple(files), tuple(lines))


def _phrase_lines(data: bytes) -> list[bytes]:
    """A phrase is a whole line, its spaces and a carriage return too."""
    return [line for line in data.split(b"\n") if line and not line.lstrip().startswith(b"#")]


def _address_lines(data: bytes) -> list[bytes]:
    """Here a comment may also stand behind the addresses."""
    lines = (line.partition(b"#")[0].strip() for line in data.split(b"\n"))
    return [line for line in lines if line]
