"""@pm and @pmFromFile: the phrases that they look for."""

from __future__ import annotations

import re

import pytest

from ratelimitd.waf.phrases import file_phrases, pm_phrases
from tests.bytes.seclang import CASES, needs_cases, operator_cases


def found(phrases: tuple[bytes, ...], text: bytes) -> bool:
    return any(re.search(re.escape(phrase), text, re.I) for phrase in phrases)


@needs_cases
def test_pm() -> None:
    for case in operator_cases("pm"):
        assert found(pm_phrases(case["param"].encode()), case["input"].encode()) == bool(case["ret"]), case


@needs_cases
def test_pm_from_file() -> None:
    for case in operator_cases("pmFromFile"):
        data = (CASES / "operators" / "op" / case["param"].rpartition("/")[2]).read_bytes()
        assert found(file_phrases(data), case["input"].encode()) == bool(case["ret"]), case


@pytest.mark.parametrize(
    ("param", "phrases"),
    [
        (b"", ()),
        (b" a  b\ta ", (b"a", b"b")),
        (b'"a b"', (b"a", b"b")),
        (b"x|41 42|y |2e2E|", (b"xABy", b"..")),
        (rb"a\:b \"", (b"a:b", b'"')),
        (rb"a\xb |41", (rb"a\xb", b"|41")),
    ],
)
def test_content(param: bytes, phrases: tuple[bytes, ...]) -> None:
    assert pm_phrases(param) == phrases


def test_comments_and_blanks_of_a_file() -> None:
    assert file_phrases(b"# one\n\n  # two\na b \nc#d\r\na b ") == (b"a b ", b"c#d\r")
