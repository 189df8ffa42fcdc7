"""Diagnostics for people at a terminal, and for programs.

error[P203]: unknown key 'widnow'
  --> shop.yaml:4:5
   |
 4 |     widnow: 1m
   |     ^^^^^^
   = help: did you mean 'window'?
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ratelimitd.errors import Diagnostic

MAX_EXCERPT = 160  # characters of a line that are shown
_STYLES = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "place": "\x1b[34m", "strong": "\x1b[1m", "help": "\x1b[36m"}
_RESET = "\x1b[0m"
_WORD = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"|[^\s,:\[\]{}#]+(?::[^\s,:\[\]{}#]+)*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Without control characters: a policy must not move the cursor of who reads its errors."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).replace("\t", " ")


def render(diagnostics: Iterable[Diagnostic], *, colour: bool = False) -> str:
    """All of them, an empty line between two, and a line that counts them."""
    told = list(diagnostics)
    blocks = [render_one(diagnostic, colour=colour) for diagnostic in told]
    return "\n\n".join([*blocks, summary(told)]) + "\n" if blocks else ""


def render_one(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    def paint(style: str, text: str) -> str:
        return f"{_STYLES[style]}{text}{_RESET}" if colour else text

    style = "error" if diagnostic.severity == "error" else "warning"
    head = paint(style, f"{diagnostic.severity}[{diagnostic.code}]")
    lines = [f"{head}{paint('strong', ': ' + visible(diagnostic.message))}"]
    position = diagnostic.position
    number = str(position.line) if position else ""
    gutter = " " * (len(number) + 1)
    if position:
        lines.append(f"{gutter}{paint('place', '-->')} {visible(str(position))}")
    if position and diagnostic.excerpt.strip():
        excerpt, start, width = window_of(visible(diagnostic.excerpt), position.column - 1)
        bar = paint("place", "|")
        lines += [f"{gutter} {bar}", f" {paint('place', number)} {bar} {excerpt}"]
        lines.append(f"{gutter} {bar} {' ' * start}{paint(style, '^' * width)}")
    if diagnostic.hint:
        lines.append(f"{gutter} {paint('place', '=')} {paint('help', 'help')}: {visible(diagnostic.hint)}")
    return "\n".join(lines)


def window_of(line: str, column: int) -> tuple[str, int, int]:
    """The part of a line around a column (0-based) that fits: (text, column in it, width of the word there)."""
    found = _WORD.match(line, column)
    width = len(found[0]) if found else 1
    begin = 0 if column < MAX_EXCERPT - 40 else column - 40
    text = line[begin : begin + MAX_EXCERPT].rstrip()
    start = column - begin
    return text, start, max(1, min(width, len(text) - start))


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """ "2 errors, 1 warning" """
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = ((severities.count(kind), kind) for kind in ("error", "warning"))
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts if count) or "no errors"


def as_data(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """For JSON: one object each, absent parts as null."""
    return [
        {
            "code": diagnostic.code,
            "severity": diagnostic.severity,
            "message": diagnostic.message,
            "hint": diagnostic.hint or None,
            "file": diagnostic.position.file if diagnostic.position else None,
            "line": diagnostic.position.line if diagnostic.position else None,
            "column": diagnostic.position.column if diagnostic.position else None,
            "excerpt": diagnostic.excerpt or None,
        }
        for diagnostic in diagnostics
    ]
