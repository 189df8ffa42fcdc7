"""The JSON reader: the leaves of Python's json, and the same texts refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd._ext.bytes import probe

END, INVALID, DEEP = 0, -1, -2

Pairs = list[tuple[str, Any]]


def scalars(text: str) -> Any:
    """json.loads, with numbers and constants as they are written and objects as lists of pairs."""
    return json.loads(
        text, strict=False, parse_int=Raw, parse_float=Raw, object_pairs_hook=Object, parse_constant=lambda c: 1 / 0
    )


class Raw(str):
    """A number as written."""


class Object(Pairs):
    """Pairs, duplicates kept."""


def leaves(value: Any, name: str = "") -> list[tuple[bytes, bytes]]:
    if isinstance(value, Object):
        found = [leaf for key, item in value for leaf in leaves(item, f"{name}.{key}" if name else key)]
        return found or [(encode(name), b"")]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, name)] or [(encode(name), b"")]
    text = {True: "true", False: "false", None: "null"}[value] if not isinstance(value, str) else value
    return [(encode(name), encode(text))]


def encode(text: str) -> bytes:
    """Pairs of surrogates are one character by now; half of one is U+FFFD."""
    return "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_leaves_are_those_of_json(value: Any, ascii_only: bool, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert probe.json_leaves(text.encode()) == (leaves(scalars(text)), END, len(text.encode()))


ATOMS = [
    *(
        '"a"',
        '"\\u0041"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\\u12"',
        '"\\x"',
        '"',
        "1",
        "-0.5e+3",
        "01",
        "1.",
        "-",
        "tru",
        "true",
    ),
    *("null", "{", "}", "[", "]", ",", ":", " ", "\n", "NaN", "'a'", "/*", "\x00"),
]


@given(st.lists(st.sampled_from(ATOMS), max_size=8).map("".join))
def test_what_json_refuses_is_refused(text: str) -> None:
    try:
        expected = leaves(scalars(text))
    except (ValueError, ZeroDivisionError):
        _, status, at = probe.json_leaves(text.encode())
        assert status == INVALID
        assert at <= len(text.encode())
    else:
        assert probe.json_leaves(text.encode()) == (expected, END, len(text.encode()))


def test_names_show_where_a_value_stands() -> None:
    text = b'{"user": {"name": "x", "tags": ["a", {"b": 1}], "none": {}}, "": {"c": []}, "n": -1.5e3}'
    assert probe.json_leaves(text)[0] == [
        (b"user.name", b"x"),
        (b"user.tags", b"a"),
        (b"user.tags.b", b"1"),
        (b"user.none", b""),
        (b"c", b""),
        (b"n", b"-1.5e3"),
    ]


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(opening: bytes, closing: bytes) -> None:
    assert probe.json_leaves(opening * 32 + b"1" + closing * 32)[1] == END
    found, status, at = probe.json_leaves(opening * 33 + b"1" + closing * 33)
    assert (found, status, at) == ([], DEEP, 32 * len(opening))
    assert probe.json_leaves(opening * 100_000)[1] == DEEP


def test_an_error_says_what_was_not_read() -> None:
    text = b'{"a": "x", "b": "unterminated'
    assert probe.json_leaves(text) == ([(b"a", b"x")], INVALID, text.index(b'"unterm'))
    assert probe.json_leaves(b'{"a": 1} trailing') == ([(b"a", b"1")], INVALID, 9)


def test_a_byte_order_mark_is_skipped() -> None:
    assert probe.json_leaves(b"\xef\xbb\xbf[1]")[:2] == ([(b"", b"1")], END)


def test_mutated_texts_stay_within_bounds() -> None:
    rng = random.Random(3)
    seed = b'{"user": {"name": "\\u0041\\n\\ud83d\\ude00", "tags": ["a", {"b": -1.5e3}]}, "t": [true, null, {}]}'
    for _ in range(20_000):
        text = bytearray(seed)
        for _ in range(rng.randrange(1, 6)):
            text[rng.randrange(len(text))] = rng.choice(b'{}[]",:\\u0 a\x00\xff')
        begin = rng.randrange(4)
        found, _, at = probe.json_leaves(bytes(text[begin : rng.randrange(len(text) + 1)]))
        assert at <= len(text)
        assert sum(len(value) for _, value in found) <= len(text)
