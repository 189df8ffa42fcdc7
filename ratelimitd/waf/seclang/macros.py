"""Text with macros: `over %{tx.limit}`."""

from __future__ import annotations

import re

from ratelimitd.waf.seclang.hints import did_you_mean
from ratelimitd.waf.seclang.source import RefusedError, shown
from ratelimitd.waf.seclang.tree import Reference, Template
from ratelimitd.waf.seclang.words import COLLECTIONS, VARIABLES

_MACRO = re.compile(rb"%\{([A-Za-z0-9_]+)(?:[:.]([^\"|,\n\t }]+))?\}")
_KNOWN = {word.lower(): word for word in VARIABLES}


def template(text: bytes, offset: int) -> Template:
    """The parts of a text that stands at an offset. Raises RefusedError.

    As in libmodsecurity a `%` right behind a macro is lost (unless a macro follows), and neither `\\%{` nor `%%{`
    begins one, and both stay as they stand.
    """
    if b"%{" not in text:
        return (text,) if text else ()
    parts: list[bytes | Reference] = []
    at = search = 0  # where the literal begins, and from where it is searched
    while (begin := text.find(b"%{", search)) >= 0:
        percents, slashes = _run(text, begin, search, 0x25), _run(text, begin, search, 0x5C)
        # A backslash escapes only behind something else.
        if percents % 2 or (slashes % 2 and slashes < begin - search):
            search = begin + 2
            continue
        found = _MACRO.match(text, begin)
        if found is None:
            hint = "write %{collection.name} or %{variable}"
            raise RefusedError("S507", f"not a macro: '{shown(text[begin:], 24)}'", offset + begin, hint)
        if begin > at:
            parts.append(text[at:begin])
        parts.append(_reference(found, offset + begin + 2))
        at = found.end()
        if text[at : at + 1] == b"%" and text[at + 1 : at + 2] != b"{":
            at += 1
        search = at
    if at < len(text):
        parts.append(text[at:])
    return tuple(parts)


def _run(text: bytes, at: int, begin: int, byte: int) -> int:
    """How many of a byte stand right before `at`, none of them before `begin`."""
    first = at
    while first > begin and text[first - 1] == byte:
        first -= 1
    return at - first


def _reference(found: re.Match[bytes], offset: int) -> Reference:
    word = found[1].decode()
    variable = word.upper()
    if variable not in VARIABLES:
        raise RefusedError("S301", f"unknown variable '{word[:64]}'", offset, did_you_mean(word, _KNOWN))
    if found[2] is not None and variable not in COLLECTIONS:
        raise RefusedError("S302", f"{variable} is one value: it has no '{shown(found[2])}'", offset)
    return Reference(variable, found[2])
