"""What clients sent, for people to read: redacted, or in clear but harmless to who reads it."""

from __future__ import annotations

import re

MAX_SHAPE = 32  # characters of a shape
MAX_CLEAR = 128  # bytes of a value in clear
_LETTERS = re.compile(r"[A-Za-z\x80-\U0010ffff]+")
_DIGITS = re.compile(r"[0-9]+")
_RUN = re.compile(r"([^\sA-Za-z0-9]{3})[^\sA-Za-z0-9]+")
_COUNTED = re.compile(r"TX:.*(?:score|threshold)", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
# What moves a cursor, ends a line or turns text around: C0, C1, line and paragraph separators, marks of direction.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: str) -> str:
    """Control characters as \\x1b or \\u202e: a line stays one, and a terminal as it was."""
    return _CONTROL.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shape(value: bytes) -> str:
    """What a value looks like, without what it says: words as `a`, numbers as `0`, of other characters three in a row.

    `' OR 10=10 --` has the shape `' a 0=0 --`. Empty when it would be the value itself.
    """
    text = value[:MAX_CLEAR].decode("utf-8", "replace")
    drawn = _BLANKS.sub(" ", _CONTROL.sub(" ", text))
    drawn = _RUN.sub("\\1\N{HORIZONTAL ELLIPSIS}", _DIGITS.sub("0", _LETTERS.sub("a", drawn)))
    if drawn == text:
        return ""
    return drawn if len(drawn) <= MAX_SHAPE else f"{drawn[: MAX_SHAPE - 1]}\N{HORIZONTAL ELLIPSIS}"


def redacted(value: bytes, size: int | None = None) -> str:
    """`13 bytes like ' a 0=0 --`. `size`: of the whole value, when `value` is its beginning."""
    size = len(value) if size is None else size
    length = f"{size} byte{'' if size == 1 else 's'}"
    drawn = shape(value)
    return f"{length} like {drawn}" if drawn else length


def without_values(path: str) -> str:
    """A raw path whose query keeps argument names only: `/search?q=…&page=…`. What has none is left out whole."""
    path, mark, query = path.partition("?")
    names = (piece[: piece.find("=") + 1] for piece in query.split("&") if piece)
    return path + mark + "&".join(f"{name[:MAX_SHAPE]}\N{HORIZONTAL ELLIPSIS}" for name in names)


def shown(target: str, value: bytes, size: int | None = None) -> str:
    """What a rule found in `target`, redacted, unless it is a score that rules have counted themselves."""
    return clear(value, size) if _COUNTED.match(target) and value.isdigit() else redacted(value, size)


def clear(value: bytes, size: int | None = None) -> str:
    """The value, at most MAX_CLEAR bytes of it, in one line of text."""
    size = len(value) if size is None else size
    text = printable(value[:MAX_CLEAR].decode("utf-8", "backslashreplace"))
    return f"{text}... ({size} bytes)" if size > min(len(value), MAX_CLEAR) else text
