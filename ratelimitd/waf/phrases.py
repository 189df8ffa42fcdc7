"""The phrases of @pm and @pmFromFile, which match anywhere and ignore ASCII case, read as libmodsecurity 3 does."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPACE = b" \t\n\v\f\r"
ESCAPED = b':;\\"'  # what a backslash may stand before


def pm_phrases(param: bytes) -> tuple[bytes, ...]:
    """Words between blanks; |41 42| are bytes in hexadecimal, also blanks, which then separate words too.

    A parameter that is not understood is taken as it is written.
    """
    content = pm_content(param)
    return distinct(re.split(rb"[ \t\n\v\f\r]+", param if content is None else content))


def pm_content(param: bytes) -> bytes | None:
    """The parameter without quotes, escapes and hexadecimal; None when it breaks their rules."""
    text = param.lstrip(SPACE)
    if len(text) > 1 and text[:1] == text[-1:] == b'"':
        text = text[1:-1]
    out = bytearray()
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"|":
            end = text.find(b"|", at + 1)
            digits = re.sub(rb"\s", b"", text[at + 1 : end if end >= 0 else None])
            if re.fullmatch(rb"(?:[0-9a-fA-F]{2})*", digits) is None:
                return None
            out += bytes.fromhex(digits.decode())
            at = len(text) if end < 0 else end
        elif byte == b"\\":
            at += 1
            if at == len(text) or text[at] not in ESCAPED:
                return None
            out.append(text[at])
        else:
            out += byte
        at += 1
    return bytes(out)


def file_phrases(data: bytes) -> tuple[bytes, ...]:
    """A line is a phrase, with its blanks; empty ones and those that begin with "#", after blanks, are comments."""
    return distinct(line for line in data.split(b"\n") if not line.lstrip(SPACE).startswith(b"#"))


def distinct(phrases: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase))
