"""Redaction: a shape says what kind of value it was, and no word or number of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd.redact import MAX_CLEAR, MAX_SHAPE, clear, printable, redacted, shape, shown


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        (b"' OR 10=10 --", "' a 0=0 --"),
        (b"<script>alert(1)</script>", "<a>a(0)</a>"),
        (b"../../../etc/passwd", "../\u2026a/a"),
        (b"hunter2", "a0"),
        (b"Pa$$w0rd!!!!!!", "a$$a0a!!!\u2026"),
        ("пароль".encode(), "a"),
        (b"a\r\n\x00b", "a a"),
        (b"!@", ""),
        (b"a", ""),
        (b"", ""),
    ],
)
def test_shapes(value: bytes, drawn: str) -> None:
    assert shape(value) == drawn


def test_a_redacted_value_has_its_length() -> None:
    assert redacted(b"hunter2") == "7 bytes like a0"
    assert redacted(b"a") == "1 byte"
    assert redacted(b"hunter2", 500) == "500 bytes like a0"


@given(st.binary(max_size=400))
def test_no_word_and_no_number_is_told(value: bytes) -> None:
    drawn = shape(value)
    assert len(drawn) <= MAX_SHAPE
    assert set(re.findall(r"[^\W_]", drawn)) <= {"a", "0"}
    assert not re.search(r"aa|00|[^\sa0\u2026]{4}", drawn)
    assert drawn == printable(drawn)


@given(st.binary(max_size=400))
def test_clear_values_are_one_harmless_bounded_line(value: bytes) -> None:
    text = clear(value)
    assert printable(text) == text
    assert text.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)
    assert len(text) <= 4 * MAX_CLEAR + 20


def test_scores_that_rules_count_are_no_secrets() -> None:
    assert shown("TX:blocking_inbound_anomaly_score", b"25") == "25"
    assert shown("TX:1", b"25") == "2 bytes like 0"
    assert shown("ARGS:score", b"25") == "2 bytes like 0"
    assert shown("TX:anomaly_score", b"x1") == "2 bytes like a0"
