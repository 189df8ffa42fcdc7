"""Transformations: ModSecurity's own cases, and what must hold for any bytes."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ratelimitd._ext.bytes import probe
from ratelimitd.policy.plan import Transformation

SHARED = Path(os.environ.get("RATELIMITD_SHARED", "../shared"))
CASES = SHARED / "seclang" / "transformations"
FILES = {
    Transformation.LOWERCASE: "lowercase",
    Transformation.URL_DECODE: "urlDecode",
    Transformation.URL_DECODE_UNI: "urlDecodeUni",
    Transformation.HTML_ENTITY_DECODE: "htmlEntityDecode",
    Transformation.COMPRESS_WHITESPACE: "compressWhitespace",
    Transformation.REMOVE_WHITESPACE: "removeWhitespace",
    Transformation.REMOVE_NULLS: "removeNulls",
    Transformation.REPLACE_COMMENTS: "replaceComments",
    Transformation.REMOVE_COMMENTS: "removeComments",
    Transformation.NORMALIZE_PATH: "normalisePath",
    Transformation.JS_DECODE: "jsDecode",
    Transformation.CSS_DECODE: "cssDecode",
    Transformation.CMD_LINE: "cmdLine",
    Transformation.BASE64_DECODE: "base64Decode",
    Transformation.HEX_DECODE: "hexDecode",
    Transformation.TRIM: "trim",
    Transformation.UTF8_TO_UNICODE: "utf8toUnicode",
    Transformation.ESCAPE_SEQ_DECODE: "escapeSeqDecode",
}


def transform(kind: Transformation, text: bytes) -> bytes:
    changed = probe.transform(kind, text)
    return text if changed is None else changed


def case_bytes(text: str) -> bytes:
    """The suite writes bytes as JSON text in UTF-8, with \\xHH and \\uHHHH (low byte) where JSON has no way."""
    raw = text.encode()
    raw = re.sub(rb"\\x([0-9a-zA-Z]{2})", lambda m: bytes([scan_hex(m[1])]), raw)
    return re.sub(rb"\\u([0-9a-zA-Z]{4})", lambda m: bytes([scan_hex(m[1]) & 0xFF]), raw)


def scan_hex(digits: bytes) -> int:
    """What sscanf("%x") reads, as the suite's own runner does."""
    match = re.match(rb"[0-9a-fA-F]+", digits)
    return int(match[0], 16) if match else 0


def cases(kind: Transformation) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((CASES / f"{FILES[kind]}.json").read_text())
    for case in loaded:
        if kind is Transformation.CSS_DECODE and case["input"].endswith("\\\0  string"):
            case["input"] = case["input"].replace(
                "\0", "0"
            )  # the output shows that "\\0" was meant, an escape of one digit
    return loaded


@pytest.mark.skipif(not CASES.is_dir(), reason=f"needs {CASES} (set RATELIMITD_SHARED)")
@pytest.mark.parametrize("kind", Transformation, ids=lambda k: k.name.lower())
def test_the_seclang_suite(kind: Transformation) -> None:
    for case in cases(kind):
        assert transform(kind, case_bytes(case["input"])) == case_bytes(case["output"]), case


PIECES = [
    *(
        b"%",
        b"%u",
        b"%uff21",
        b"%41",
        b"%2",
        b"%00",
        b"+",
        b"&",
        b"&#",
        b"&#x",
        b"&#65",
        b"&#x41;",
        b"&lt;",
        b"&foo",
        b"&nbsp",
    ),
    *(
        b" ",
        b"\t",
        b"\n",
        b"\r\n",
        b"\v",
        b"\xa0",
        b"\x00",
        b"/*",
        b"*/",
        b"<!--",
        b"-->",
        b"--",
        b"#",
        b"/",
        b"//",
        b"/./",
    ),
    *(
        b"..",
        b".",
        b"/../",
        b"\\",
        b"\\u0041",
        b"\\uff21",
        b"\\x41",
        b"\\101",
        b"\\777",
        b"\\n",
        b"\\0",
        b"\\41",
        b"\\00ff21",
    ),
    *(
        b"\\\n",
        b'"',
        b"'",
        b"^",
        b",",
        b";",
        b"(",
        b"QUJD",
        b"QUI=",
        b"=",
        b"41",
        b"\xc3\xa9",
        b"\xe2\x82\xac",
        b"\xf0\x9f\x98\x80",
    ),
    *(
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf8",
        b"\xf5\x80\x80\x80",
        b"\xc3",
        b"a",
        b"B",
        b"z",
        b"0",
        b"9",
        b"u",
        b"x",
        b"f",
    ),
]


def texts(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    made = [b"".join(rng.choices(PIECES, k=rng.randrange(9))) for _ in range(count)]
    return made + [rng.randbytes(rng.randrange(12)) for _ in range(count)]


@pytest.mark.parametrize("kind", Transformation, ids=lambda k: k.name.lower())
def test_any_bytes_stay_within_bounds(kind: Transformation) -> None:
    """Every read and write is inside exact-size blocks (a sanitizer watches), and growth is bounded."""
    for text in texts(4000, kind):
        assert len(transform(kind, text)) <= 4 * len(text) + 16


@pytest.mark.parametrize("kind", Transformation, ids=lambda k: k.name.lower())
def test_the_byte_class_gate_is_sound(kind: Transformation) -> None:
    """A text without a kind's byte classes is one that the kind leaves alone: a wrong gate would hide an attack.

    Each byte that changes something in some context must be in the classes: the text is changed with those bytes only.
    """
    classes = probe.transform_classes(kind)
    inert = [b for b in range(256) if not probe.byte_classes(bytes([b])) & classes]
    rng = random.Random(kind)
    for text in texts(4000, 100 + kind):
        changed = probe.transform(kind, text)
        if changed is not None:
            assert changed != text
            assert probe.byte_classes(text) & classes
    assert kind in (Transformation.BASE64_DECODE, Transformation.HEX_DECODE) or inert
    # The reference reading of each kind, run on inert bytes alone.
    for _ in range(2000):
        text = bytes(rng.choices(inert, k=rng.randrange(1, 12))) if inert else b""
        assert REFERENCE[kind](text) == text


def strip_bytes(drop: bytes) -> Callable[[bytes], bytes]:
    return lambda text: bytes(b for b in text if b not in drop)


SPACES = b" \t\n\v\f\r"
REFERENCE: dict[Transformation, Callable[[bytes], bytes]] = {
    Transformation.LOWERCASE: lambda t: t.lower(),
    Transformation.URL_DECODE: lambda t: re.sub(
        rb"%([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), t.replace(b"+", b" ")
    ),
    Transformation.URL_DECODE_UNI: lambda t: re.sub(rb"%u?[0-9a-fA-F]{2,4}", b"?", t.replace(b"+", b" ")),
    Transformation.HTML_ENTITY_DECODE: lambda t: re.sub(rb"&#?\w+;?", b"?", t),
    Transformation.COMPRESS_WHITESPACE: lambda t: re.sub(rb"[ \t\n\v\f\r]+", b" ", t),
    Transformation.REMOVE_WHITESPACE: strip_bytes(SPACES + b"\xa0\xc2"),
    Transformation.REMOVE_NULLS: strip_bytes(b"\x00"),
    Transformation.REPLACE_COMMENTS: lambda t: re.sub(rb"(?s)/\*.*?(\*/|\Z)", b" ", t),
    Transformation.REMOVE_COMMENTS: lambda t: re.sub(rb"(?s)/\*.*?(\*/|\Z)|<!--.*?(-->|\Z)|--.*|#.*", b"", t),
    Transformation.NORMALIZE_PATH: lambda t: re.sub(rb"\.|//", b"", t),
    Transformation.JS_DECODE: strip_bytes(b"\\"),
    Transformation.CSS_DECODE: strip_bytes(b"\\"),
    Transformation.CMD_LINE: lambda t: re.sub(rb"[ ,;\t\r\n]+", b" ", strip_bytes(b"\"'^\\")(t)).lower(),
    Transformation.BASE64_DECODE: lambda t: t,
    Transformation.HEX_DECODE: lambda t: t,
    Transformation.TRIM: lambda t: t.strip(SPACES),
    Transformation.UTF8_TO_UNICODE: lambda t: re.sub(rb"[\x80-\xff]", b"%u", t),
    Transformation.ESCAPE_SEQ_DECODE: strip_bytes(b"\\"),
}
EXACT = [
    Transformation.LOWERCASE,
    Transformation.URL_DECODE,
    Transformation.COMPRESS_WHITESPACE,
    Transformation.REMOVE_WHITESPACE,
    Transformation.REMOVE_NULLS,
    Transformation.REPLACE_COMMENTS,
    Transformation.TRIM,
]


@pytest.mark.parametrize("kind", EXACT, ids=lambda k: k.name.lower())
def test_the_simple_kinds_equal_their_reference(kind: Transformation) -> None:
    for text in texts(4000, 200 + kind):
        assert transform(kind, text) == REFERENCE[kind](text), text


def test_decoding_a_huge_entity_saturates_as_strtol_does() -> None:
    assert transform(Transformation.HTML_ENTITY_DECODE, b"&#" + b"9" * 40 + b";") == b"\xff"
    assert transform(Transformation.HTML_ENTITY_DECODE, b"&#x" + b"0" * 400 + b"41;") == b"A"


@pytest.mark.parametrize(
    ("kind", "text", "result"),
    [
        (Transformation.HTML_ENTITY_DECODE, b"&ltx &NBSPabc;y &nbs", b"< \xa0y &nbs"),
        (Transformation.REMOVE_WHITESPACE, b"a\xc2\xa0b\xa0\x85", b"ab\x85"),
        (Transformation.BASE64_DECODE, b"QUI", b"QUI"),
        (Transformation.BASE64_DECODE, b"QUI=", b"AB"),
        (Transformation.BASE64_DECODE, b"QU\r\nJD", b"ABC"),
        (Transformation.BASE64_DECODE, b"Q!JD", b"Q!JD"),
        (Transformation.BASE64_DECODE, b"\n", b""),
        (Transformation.UTF8_TO_UNICODE, b"a\0b\xc3(\0", b"ab(\0"),
        (Transformation.UTF8_TO_UNICODE, b"\xc0\xaf", b"%u002f\xc0"),
        (Transformation.NORMALIZE_PATH, b"/x/y/a../b", b"/x/y/b"),
        (Transformation.REMOVE_COMMENTS, b"a/*b*/", b"a\0"),
    ],
)
def test_oddities_are_those_of_modsecurity(kind: Transformation, text: bytes, result: bytes) -> None:
    """As libmodsecurity 3.0.15 answers; its suite does not cover them."""
    assert transform(kind, text) == result
