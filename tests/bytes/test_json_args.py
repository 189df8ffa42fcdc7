"""JSON arguments: names, values and errors are libmodsecurity's (that is: YAJL's); the reader is bounded."""

from __future__ import annotations

import random
import re

import pytest

from ratelimitd._ext.bytes import probe

from .modsecurity import ModSecurity, single
from .mutation import mutate

END, INVALID, DEEP, WORDY = 0, -1, -2, -3
DEPTH = 6
BODIES = [
    b'{"a":1,"b":{"c":[1,2.50,{"d":null}],"e":true,"f":false},"":"x","g.h":{"":{"":1}},"a":2}',
    b'[1,[2,[3]],{"x":[]},{},4,[[1,2],[3,4]],{"":[1]}]',
    b'{"k":"\\u00e9\\ud83d\\ude00\\u0000x\\/\\n\\t\\"\\\\"}',
    b'["\\ud83dx","\\ude00","\\ud83d\\u0041","\\ud800\\n"]',
    b"-12.5e+3",
    b'"top"',
    b' \t\r\n\x0b\x0c{"a" : [ ] , "b" : { } } ',
    b"null",
    b"",
]
TOKENS = [
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u", b"\\ud83d", b"\\u0041", b"0", b"-", b"1e5", b".5"),
    *(b"true", b"null", b"nul", b"/*x*/", b" ", b"\x00", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8", b'"k":', b'""'),
    *(b"\xef\xbb\xbf", b"[[[[[[", b"\x0b"),
]


@pytest.fixture(scope="module")
def truth() -> ModSecurity:
    return ModSecurity(
        ["ARGS", "ARGS_NAMES", "REQBODY_ERROR", "REQBODY_ERROR_MSG"],
        f"SecRequestBodyJsonDepthLimit {DEPTH}",
        "ctl:requestBodyProcessor=JSON",
    )


def compare(truth: ModSecurity, body: bytes) -> None:
    found = truth(body=body)
    arguments, status = probe.json_args(body, DEPTH)
    assert (status != END) == (single(found["REQBODY_ERROR"]) == b"1"), body
    assert (status == DEEP) == (b"depth limit" in single(found["REQBODY_ERROR_MSG"])), body
    assert sorted(arguments) == sorted(found["ARGS"]), body


@pytest.mark.parametrize("body", BODIES)
def test_a_text_is_read_as_modsecurity_reads_it(truth: ModSecurity, body: bytes) -> None:
    compare(truth, body)


# Half of a surrogate pair takes the next byte with it. When that is the first backslash of an escape, YAJL reads what
# stands behind it without having checked it, beyond the end of the string if need be. We do not.
EATEN_BACKSLASH = re.compile(rb"\\ud[89ab]..\\[^u]", re.IGNORECASE | re.DOTALL)


def test_mutated_texts_are_read_as_modsecurity_reads_them(truth: ModSecurity) -> None:
    chance = random.Random(5)
    for _ in range(6000):
        body = mutate(chance, chance.choice(BODIES), TOKENS)
        if not EATEN_BACKSLASH.search(body):
            compare(truth, body)


@pytest.mark.parametrize(("depth", "status"), [(5, END), (6, END), (7, DEEP)])
def test_depth_is_bounded(depth: int, status: int) -> None:
    assert probe.json_args(b"[" * depth + b"]" * depth, DEPTH) == ([], status)


def test_names_are_bounded() -> None:
    """Long keys above many values make names grow with the square of the text."""
    body = b'{"' + b"k" * 1000 + b'":[' + b",".join([b"1"] * 1000) + b"]}"
    arguments, status = probe.json_args(body, DEPTH, 10 * len(body))
    assert status == WORDY
    assert 10 < len(arguments) <= 10 * len(body) // 1000


def test_names_and_values_are_as_written_to_the_byte() -> None:
    assert probe.json_args(b'{"a":[true,{"b":1.50}],"":null}') == (
        [(b"json.a.array_0", b"true"), (b"json.a.array_1.b", b"1.50"), (b"json.empty-key", b"")],
        END,
    )
