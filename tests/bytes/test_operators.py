"""Operators: the suite's cases, references, and what must hold for hostile input."""

from __future__ import annotations

import random
import re

import pytest

from ratelimitd._ext.bytes import operators_probe as probe
from tests.bytes.seclang import case_bytes, needs_cases, operator_cases

TEXT = ["beginsWith", "contains", "containsWord", "endsWith", "streq", "strmatch", "within"]


@needs_cases
@pytest.mark.parametrize("name", TEXT)
def test_text_operators(name: str) -> None:
    for case in operator_cases(name):
        assert probe.text(name, case["input"].encode(), case["param"].encode()) == bool(case["ret"]), case


@needs_cases
@pytest.mark.parametrize("name", ["eq", "ge", "gt", "le", "lt"])
def test_numbers(name: str) -> None:
    for case in operator_cases(name):
        read = probe.integer if name == "eq" else probe.long_integer
        text, param = read(case["input"].encode()), read(case["param"].encode())
        answer = {"eq": text == param, "ge": text >= param, "gt": text > param, "le": text <= param, "lt": text < param}
        assert answer[name] == bool(case["ret"]), case


def test_numbers_end_where_their_type_does() -> None:
    assert probe.long_integer(b" \t+12abc") == 12
    assert probe.long_integer(b"-9223372036854775808") == -(2**63)
    assert probe.long_integer(b"9" * 40) == 2**63 - 1
    assert probe.long_integer(b"-" + b"9" * 40) == -(2**63)
    assert probe.long_integer(b"9223372036854775808") == 2**63 - 1
    assert probe.long_integer(b"- 1") == probe.long_integer(b"") == probe.long_integer(b"+-1") == 0
    assert probe.integer(b"2147483648") == 0
    assert probe.integer(b"-2147483648") == -(2**31)


@needs_cases
def test_byte_ranges() -> None:
    for case in operator_cases("validateByteRange"):
        text = case["input"].encode().split(b"\0")[0]  # the suite's runner hands over C strings
        assert probe.outside(text, case["param"].encode())[0] == bool(case["ret"]), case


def test_any_byte_set_finds_any_byte() -> None:
    rng = random.Random(5)
    for _ in range(300):
        allowed = rng.sample(range(256), rng.randrange(1, 256))
        param = b", ".join(b"%d" % b for b in allowed)
        text = bytes(rng.choices(allowed, k=rng.randrange(40)))
        assert probe.outside(text, param) == (False, 0)
        other = rng.randrange(256)
        at = rng.randrange(len(text) + 1)
        assert probe.outside(text[:at] + bytes([other]) + text[at:], param)[0] == (other not in allowed)


def test_a_wrong_byte_range_is_counted() -> None:
    assert probe.outside(b"", b"1-255,300,5-2,,x,-1")[1] == 5


@needs_cases
@pytest.mark.parametrize("name", ["validateUrlEncoding", "validateUtf8Encoding"])
def test_encodings(name: str) -> None:
    for case in operator_cases(name):
        assert probe.check(name, case_bytes(case["input"])) == bool(case["ret"]), case


def test_utf8_is_what_python_decodes() -> None:
    rng = random.Random(6)
    pieces = [b"abc", b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80"]
    for _ in range(5000):
        text = b"".join(rng.choices(pieces, k=rng.randrange(12))) + rng.randbytes(rng.randrange(3))
        try:
            text.decode()
            bad = False
        except UnicodeDecodeError:
            bad = True
        assert probe.check("validateUtf8Encoding", text) == bad, text


def test_utf8_beyond_unicode_passes_as_in_modsecurity() -> None:
    assert not probe.check("validateUtf8Encoding", b"\xf4\x90\x80\x80")


@needs_cases
def test_addresses() -> None:
    for case in operator_cases("ipMatch"):
        assert bool(probe.ip_match(case["input"].encode(), case["param"].encode())) == bool(case["ret"]), case


@pytest.mark.parametrize(
    ("text", "param", "answer"),
    [
        (b"10.1.2.3", b"192.0.2.1, 10.0.0.0/8 ,::1", True),
        (b"::ffff:10.1.2.3", b"10.0.0.0/8", False),
        (b"10.1.2.3", b"::/0", False),
        (b"10.1.2.3:80", b"10.0.0.0/8", False),
        (b"", b"0.0.0.0/0", False),
        (b"10.1.2.3", b"10.0.0.0/33", None),
        (b"10.1.2.3", b"10.0.0.0/", None),
        (b"10.1.2.3", b"ten", None),
    ],
)
def test_ip_match(text: bytes, param: bytes, answer: bool | None) -> None:
    assert probe.ip_match(text, param) == answer


VERIFY = {"verifyCC": "verifyCC", "verifycpf": "verifyCPF", "verifyssn": "verifySSN", "verifysvnr": "verifySVNR"}


@needs_cases
@pytest.mark.parametrize("name", VERIFY)
def test_digits_behind_a_pattern(name: str) -> None:
    for case in operator_cases(name):
        found = probe.Pattern(case["param"].encode()).verify(case["input"].encode(), VERIFY[name])
        assert isinstance(found, bytes) == bool(case["ret"]), case


@needs_cases
@pytest.mark.parametrize("name", ["rx", "rxGlobal"])
def test_regular_expressions(name: str) -> None:
    for case in operator_cases(name):
        pattern = probe.Pattern(case["param"].encode())
        groups = pattern.match(case["input"].encode()) if name == "rx" else pattern.all(case["input"].encode())
        assert bool(groups) == bool(case["ret"]), case
        if "re_groups" in case:
            expected = [group.encode() for group in case["re_groups"]]  # the suite names only the first
            assert [group or b"" for group in groups][: len(expected)] == expected, case


def test_a_wrong_pattern_is_told_where() -> None:
    with pytest.raises(ValueError, match="missing closing parenthesis at 4"):
        probe.Pattern(b"(abc")


def test_lines_and_case() -> None:
    assert probe.Pattern(b"^b.c$").match(b"a\nb\nc\nd") == [b"b\nc"]
    assert probe.Pattern(b"abc").match(b"ABC") == 0
    assert probe.Pattern(b"abc", caseless=True).match(b"xABC") == [b"ABC"]
    assert probe.Pattern(b"(a)|(b)").match(b"b") == [b"b", None, b"b"]


def test_a_hostile_text_is_given_up() -> None:
    """A pattern with exponential time ends at the limit instead; so does one that wants a deep stack."""
    assert probe.Pattern(rb"^(a|aa)+$").match(b"a" * 5000 + b"!") == -1
    assert probe.Pattern(rb"^(?:(a|b)|(c|d))*$").match(b"abcd" * 50_000 + b"!") in (0, -1)


def test_verification_is_bounded() -> None:
    assert probe.Pattern(rb"\d{4}").verify(b"1" * 100_000, "verifyCC") == -1


def test_contains_word_is_a_word_between_non_letters() -> None:
    rng = random.Random(8)
    for _ in range(3000):
        text = bytes(rng.choices(b"ab-\xe9", k=rng.randrange(8)))
        word = bytes(rng.choices(b"ab", k=rng.randrange(1, 3)))
        found = re.search(rb"(?<![A-Za-z])" + word + rb"(?![A-Za-z])", text) is not None
        assert probe.text("containsWord", text, word) == found, (text, word)
