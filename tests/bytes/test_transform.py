"""Transformations: ModSecurity's own cases, and what must hold for any bytes."""

from __future__ import annotations

import base64
import functools
import hashlib
import operator
import random
import re
from collections.abc import Callable

import pytest

from ratelimitd._ext.bytes import probe
from ratelimitd.policy.plan import Transformation
from tests.bytes.seclang import case_bytes, needs_cases, transformation_cases

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
    Transformation.BASE64_DECODE_EXT: "base64DecodeExt",
    Transformation.BASE64_ENCODE: "base64Encode",
    Transformation.HEX_ENCODE: "hexEncode",
    Transformation.LENGTH: "length",
    Transformation.MD5: "md5",
    Transformation.SHA1: "sha1",
    Transformation.NORMALIZE_PATH_WIN: "normalisePathWin",
    Transformation.PARITY_EVEN_7BIT: "parityEven7bit",
    Transformation.PARITY_ODD_7BIT: "parityOdd7bit",
    Transformation.PARITY_ZERO_7BIT: "parityZero7bit",
    Transformation.REMOVE_COMMENTS_CHAR: "removeCommentsChar",
    Transformation.REPLACE_NULLS: "replaceNulls",
    Transformation.SQL_HEX_DECODE: "sqlHexDecode",
    Transformation.TRIM_LEFT: "trimLeft",
    Transformation.TRIM_RIGHT: "trimRight",
    Transformation.URL_ENCODE: "urlEncode",
    Transformation.PHP_ARGS_NAMES: "phpArgsNames",
}
NO_CASES = {Transformation.UPPERCASE}  # the suite has none


def transform(kind: Transformation, text: bytes) -> bytes:
    changed = probe.transform(kind, text)
    return text if changed is None else changed


@needs_cases
@pytest.mark.parametrize("kind", [k for k in Transformation if k not in NO_CASES], ids=lambda k: k.name.lower())
def test_the_seclang_suite(kind: Transformation) -> None:
    for case in transformation_cases(FILES[kind]):
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
RUNS = [b"a" * 15, b"plain text of words ", b"abcdefghijklmnop", b"A" * 33, b"0" * 16, b"/x/y", b"0x41"]


def texts(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    made = [b"".join(rng.choices(PIECES, k=rng.randrange(9))) for _ in range(count // 2)]
    # Long enough for whole blocks, with plain runs between the pieces.
    made += [b"".join(rng.choices(PIECES + RUNS, k=rng.randrange(3, 20))) for _ in range(count // 2)]
    return made + [rng.randbytes(rng.randrange(12)) for _ in range(count)]


@pytest.mark.parametrize("kind", Transformation, ids=lambda k: k.name.lower())
def test_any_bytes_stay_within_bounds(kind: Transformation) -> None:
    """Every read and write is inside exact-size blocks (a sanitizer watches), and growth is bounded."""
    for text in texts(4000, kind):
        assert len(transform(kind, text)) <= 4 * len(text) + 20


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
    assert bool(inert) == (kind in REFERENCE)
    # The reference reading of each kind, run on inert bytes alone.
    for _ in range(2000 if inert else 0):
        text = bytes(rng.choices(inert, k=rng.randrange(1, 12)))
        assert REFERENCE[kind](text) == text


def test_the_byte_classes_of_a_text_are_those_of_its_bytes() -> None:
    rng = random.Random(7)
    single = [probe.byte_classes(bytes([b])) for b in range(256)]
    empty = probe.byte_classes(b"")
    for size in [*range(1, 70), 1000]:
        for _ in range(20):
            text = bytes(rng.choices(rng.sample(range(256), 3), k=size))
            assert probe.byte_classes(text) == functools.reduce(operator.or_, (single[b] for b in text), empty)
    changes_empty = {k for k in Transformation if probe.transform_classes(k) & empty}
    assert changes_empty == {Transformation.LENGTH, Transformation.MD5, Transformation.SHA1}


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
    Transformation.TRIM: lambda t: t.strip(SPACES),
    Transformation.UTF8_TO_UNICODE: lambda t: re.sub(rb"[\x80-\xff]", b"%u", t),
    Transformation.ESCAPE_SEQ_DECODE: strip_bytes(b"\\"),
    Transformation.NORMALIZE_PATH_WIN: lambda t: re.sub(rb"\.|//", b"", t.replace(b"\\", b"/")),
    Transformation.PARITY_ZERO_7BIT: lambda t: bytes(b & 0x7F for b in t),
    Transformation.REMOVE_COMMENTS_CHAR: lambda t: re.sub(rb"/\*|\*/|<!--|--\x3e|--|#", b"", t),
    Transformation.REPLACE_NULLS: lambda t: t.replace(b"\0", b" "),
    Transformation.SQL_HEX_DECODE: lambda t: re.sub(
        rb"0[xX]((?:[0-9a-fA-F]{2})+)", lambda m: bytes.fromhex(m[1].decode()), t
    ),
    Transformation.TRIM_LEFT: lambda t: t.lstrip(SPACES),
    Transformation.TRIM_RIGHT: lambda t: t.rstrip(SPACES),
    Transformation.UPPERCASE: lambda t: t.upper(),
    Transformation.PHP_ARGS_NAMES: lambda t: re.sub(rb"[ .\[=]", b"_", t),
}
# Those that change nearly any text.
DIGESTS: dict[Transformation, Callable[[bytes], bytes]] = {
    Transformation.BASE64_ENCODE: base64.b64encode,
    Transformation.HEX_ENCODE: lambda t: t.hex().encode(),
    Transformation.LENGTH: lambda t: str(len(t)).encode(),
    Transformation.MD5: lambda t: hashlib.md5(t).digest(),
    Transformation.SHA1: lambda t: hashlib.sha1(t).digest(),
    Transformation.PARITY_EVEN_7BIT: lambda t: bytes(b & 0x7F | (b.bit_count() % 2 << 7) for b in t),
    Transformation.PARITY_ODD_7BIT: lambda t: bytes(b & 0x7F | (1 - b.bit_count() % 2 << 7) for b in t),
    Transformation.URL_ENCODE: lambda t: re.sub(rb"[^A-Za-z0-9* ]", lambda m: b"%%%02x" % m[0][0], t).replace(
        b" ", b"+"
    ),
}
EXACT = [
    Transformation.LOWERCASE,
    Transformation.URL_DECODE,
    Transformation.COMPRESS_WHITESPACE,
    Transformation.REMOVE_WHITESPACE,
    Transformation.REMOVE_NULLS,
    Transformation.REPLACE_COMMENTS,
    Transformation.TRIM,
    Transformation.TRIM_LEFT,
    Transformation.TRIM_RIGHT,
    Transformation.PARITY_ZERO_7BIT,
    Transformation.REMOVE_COMMENTS_CHAR,
    Transformation.REPLACE_NULLS,
    Transformation.SQL_HEX_DECODE,
    Transformation.UPPERCASE,
    *DIGESTS,
]


@pytest.mark.parametrize("kind", EXACT, ids=lambda k: k.name.lower())
def test_the_simple_kinds_equal_their_reference(kind: Transformation) -> None:
    for text in texts(4000, 200 + kind):
        assert transform(kind, text) == (REFERENCE | DIGESTS)[kind](text), text


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
        (Transformation.BASE64_DECODE_EXT, b"Q!UJ-D_", b"ABC"),
        (Transformation.BASE64_DECODE_EXT, b"QUJD9", b""),  # "9" has the value of "="
        (Transformation.BASE64_DECODE_EXT, b"QUJDA", b"ABC"),
        (Transformation.BASE64_DECODE_EXT, b"QUJDA=", b""),
        (Transformation.SQL_HEX_DECODE, b"0x4142z0X4", b"ABz0X4"),
        (Transformation.NORMALIZE_PATH_WIN, b"\\a\\..\\b\\", b"/b/"),
        (Transformation.NORMALIZE_PATH_WIN, b"/../\\n", b"\\n"),  # the last slash of a run is copied as it is
        (Transformation.PHP_ARGS_NAMES, b"a[b\0]", b"a_b\0]"),
    ],
)
def test_oddities_are_those_of_modsecurity(kind: Transformation, text: bytes, result: bytes) -> None:
    """As libmodsecurity 3.0.15 answers; its suite does not cover them."""
    assert transform(kind, text) == result
