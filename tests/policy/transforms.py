"""Plain models of the transformations that the built-in rules use."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from ratelimitd.policy.plan import Transformation


def url_decode_uni(data: bytes) -> bytes:
    def decoded(found: re.Match[bytes]) -> bytes:
        digits = found[1] or found[2]
        return bytes([int(digits[-2:], 16)])

    return re.sub(rb"%u([0-9a-fA-F]{4})|%([0-9a-fA-F]{2})", decoded, data.replace(b"+", b" "))


def js_decode(data: bytes) -> bytes:
    data = re.sub(rb"\\(?:u00|x)([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), data)
    return re.sub(rb"\\(.)", rb"\1", data, flags=re.S)


STEPS: dict[Transformation, Callable[[bytes], bytes]] = {
    Transformation.LOWERCASE: bytes.lower,
    Transformation.URL_DECODE_UNI: url_decode_uni,
    Transformation.HTML_ENTITY_DECODE: lambda d: html.unescape(d.decode("latin-1")).encode("latin-1", "replace"),
    Transformation.REPLACE_COMMENTS: lambda d: re.sub(rb"/\*.*?(?:\*/|\Z)", b" ", d, flags=re.S),
    Transformation.COMPRESS_WHITESPACE: lambda d: re.sub(rb"[ \t\n\v\f\r\xa0]+", b" ", d),
    Transformation.REMOVE_NULLS: lambda d: d.replace(b"\0", b""),
    Transformation.JS_DECODE: js_decode,
}


def transformed(data: bytes, steps: tuple[Transformation, ...]) -> bytes:
    for step in steps:
        data = STEPS[step](data)
    return data
