"""Lists of variables: `ARGS|!ARGS:token|&TX:score|REQUEST_COOKIES:/^_ga/|XML:/*`."""

from __future__ import annotations

import re

from ratelimitd.waf.seclang.hints import did_you_mean
from ratelimitd.waf.seclang.source import RefusedError, shown
from ratelimitd.waf.seclang.tree import Selector
from ratelimitd.waf.seclang.words import COLLECTIONS, VARIABLES

MAX_SELECTORS = 1000  # of one rule
MAX_BYTES = 64 * 1024  # of one list

_HEAD = re.compile(rb"([!&]?)([A-Za-z0-9_]+)([:.]?)")
_QUOTED_REGEX = re.compile(rb"'/([^ =\t\"']+)/'(?=[|,\"\s]|\Z)")
_BARE_REGEX = re.compile(rb"/([^ =|\t\"\r\n]+)/")
_NAME = re.compile(rb"[^\"|,\r\n\t }]+")
_REGEX_HINT = "a regular expression with '|' in it is written ARGS:'/a|b/'"
_KNOWN = {word.lower(): word for word in VARIABLES}


def selectors(text: bytes, offset: int) -> tuple[Selector, ...]:
    """All of a list that stands at an offset. Raises RefusedError for the first that cannot be read."""
    if len(text) > MAX_BYTES:
        raise RefusedError("S102", f"a list of variables longer than {MAX_BYTES} bytes", offset)
    found: list[Selector] = []
    at = 0
    while True:
        try:
            selector, at = _selector(text, at, offset)
        except RefusedError as problem:
            if found and (found[-1].name or b"").startswith(b"/"):
                problem.hint = _REGEX_HINT
            raise
        found.append(selector)
        if at == len(text):
            return tuple(found)
        if text[at : at + 1] not in (b"|", b","):
            raise RefusedError("S302", f"expected '|', got '{shown(text[at:])}'", offset + at)
        if len(found) == MAX_SELECTORS:
            raise RefusedError("S102", f"more than {MAX_SELECTORS} variables", offset + at)
        at += 1


def _selector(text: bytes, at: int, offset: int) -> tuple[Selector, int]:
    head = _HEAD.match(text, at)
    if head is None:
        said = f"expected a variable, got '{shown(text[at:])}'" if at < len(text) else "expected a variable"
        raise RefusedError("S302", said, offset + at)
    word = head[2].decode()
    variable = word.upper()
    if variable not in VARIABLES:
        raise RefusedError(
            "S301", f"unknown variable '{word[:64]}'", offset + head.start(2), did_you_mean(word, _KNOWN)
        )
    count, exclude = head[1] == b"&", head[1] == b"!"
    at = head.end()
    if not head[3]:
        return Selector(variable, count=count, exclude=exclude), at
    if variable not in COLLECTIONS:
        raise RefusedError("S302", f"{variable} is one value: it takes no selector", offset + head.start(3))
    if quoted := _QUOTED_REGEX.match(text, at):
        return Selector(variable, regex=quoted[1], count=count, exclude=exclude), quoted.end()
    name = _NAME.match(text, at)
    bare = _bare_regex(text, at)
    # The longer of the two readings wins, as in libmodsecurity: `/a/b` is a name, `/a{1,2}/` is not.
    if bare is not None and (name is None or bare >= name.end()):
        return Selector(variable, regex=text[at + 1 : bare - 1], count=count, exclude=exclude), bare
    if name is None:
        raise RefusedError("S302", f"{variable}{head[3].decode()} lacks its selector", offset + at)
    if name[0].startswith(b"'"):
        hint = "names stand without quotes; a regular expression is '/.../' without spaces and '='"
        raise RefusedError("S302", f"a quoted selector: {shown(name[0])}", offset + at, hint)
    return Selector(variable, name=name[0], count=count, exclude=exclude), name.end()


def _bare_regex(text: bytes, at: int) -> int | None:
    """Where a regular expression in slashes ends: at the first slash with the list's next variable behind it."""
    if text[at : at + 1] != b"/" or (longest := _BARE_REGEX.match(text, at)) is None:
        return None
    end = at + 1
    while (end := text.find(b"/", end + 1, longest.end()) + 1) > 0:
        if end - at > 2 and (end == len(text) or text[end : end + 1] in b"|" or _next_variable(text, end)):
            return end
    return longest.end()


def _next_variable(text: bytes, at: int) -> bool:
    """Does `,VARIABLE` stand here? A comma may also be part of a regular expression."""
    head = _HEAD.match(text, at + 1) if text[at : at + 1] == b"," else None
    return head is not None and head[2].decode().upper() in VARIABLES
