from __future__ import annotations

import random
import re
from pathlib import Path

import pcre2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd.waf.regex.nodes import ALL, ANY, EMPTY, Anchor, Back, Bytes, Look, Repeat, Seq, byte_set
from ratelimitd.waf.regex.parse import Flags, UnsupportedError, parse
from ratelimitd.waf.regex.render import UnrenderableError, render
from tests.waf.regex.crs import V3, V4, patterns
from tests.waf.regex.sample import sample


def oracle(pattern: bytes) -> pcre2.Pattern:
    """As ModSecurity compiles it. The binding reads \\x as JavaScript does: no \\x{hh}."""
    return pcre2.compile(re.sub(rb"\\x\{(..)\}", rb"\\x\1", pattern), pcre2.DOTALL | pcre2.MULTILINE)


@pytest.mark.parametrize("folder", [V4, V3], ids=["v4", "v3"])
def test_every_pattern_of_the_core_rule_set_is_understood(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    found = patterns(folder)
    assert len(found) > 200
    for pattern in found:
        parse(pattern)


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        (b"", EMPTY),
        (b".", ANY),
        (b"(?-s).", Bytes(ALL ^ byte_set(b"\n"))),
        (b"[]a]", Bytes(byte_set(b"]a"))),
        (b"[^]a]", Bytes(ALL ^ byte_set(b"]a"))),
        (b"[a-\\{]", Bytes(byte_set((0x61, 0x7B)))),
        (b"[\\x5c-\\x5d]", Bytes(byte_set(b"\\]"))),
        (b"[a\\-z]", Bytes(byte_set(b"a-z"))),
        (b"[\\w-.]", Bytes(byte_set((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), b"_-."))),
        (b"[[:digit:]x]", Bytes(byte_set((0x30, 0x39), b"x"))),
        (b"(?i)[^a]", Bytes(ALL ^ byte_set(b"aA"))),
        (b"\\x0b", Bytes(byte_set(0x0B))),
        (b"\\cA", Bytes(byte_set(1))),
        (b"\\013", Bytes(byte_set(0x0B))),
        (b"\\h", Bytes(byte_set(b"\t \xa0"))),
        (b"\\s", Bytes(byte_set(b"\t\n\v\f\r "))),
        (b"a{2}", Repeat(Bytes(byte_set(b"a")), 2, 2)),
        (b"{", Bytes(byte_set(b"{"))),
        (b"\\Q.\\E", Bytes(byte_set(b"."))),
        (b"(?x) a # b\n", Bytes(byte_set(b"a"))),
        (b"(?#b)a", Bytes(byte_set(b"a"))),
        (b"^", Anchor.LINE_START),
        (b"(?-m)$", Anchor.END_LINE),
        (b"(?i:a)", Bytes(byte_set(b"aA"))),
        (b"(?<=a)", Look(Bytes(byte_set(b"a")), False, False)),
        (b"a|", Repeat(Bytes(byte_set(b"a")), 0, 1)),
        (b"\\Ka", Bytes(byte_set(b"a"))),
    ],
)
def test_a_construct_is_what_pcre2_says(pattern: bytes, tree: object) -> None:
    assert parse(pattern) == tree


def test_options_end_with_their_group() -> None:
    assert parse(b"(?:(?i)a|b)c") == Seq((Bytes(byte_set(b"aAbB")), Bytes(byte_set(b"c"))))
    assert parse(b"a", Flags(caseless=True)) == Bytes(byte_set(b"aA"))


def test_a_reference_keeps_its_number() -> None:
    tree = parse(b"(?<x>ab)(?i)\\1\\k<x>\\g{-1}")
    assert isinstance(tree, Seq)
    assert tree.parts[1:] == (Back(1, True), Back(1, True), Back(1, True))


@pytest.mark.parametrize(
    "pattern",
    [
        b"(",
        b")",
        b"[a",
        b"*",
        b"a\\",
        b"\\1",
        b"(?R)",
        b"(?1)",
        b"(?(1)a)",
        b"(*UTF)a",
        b"\\p{L}",
        b"[[:no:]]",
        b"[z-a]",
        b"^*",
        b"a\\b+",
        b"\\x{100}",
        b"(?J)a",
        b"a{2,1}",
        b"(" * 500 + b")" * 500,
        b"a" * 200_000,
        b"\\y",
        b"(?|a)",
        b"(?<a>b)(?<a>c)",
    ],
)
def test_what_is_not_understood_is_said(pattern: bytes) -> None:
    with pytest.raises(UnsupportedError):
        parse(pattern)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_refused(pattern: bytes) -> None:
    try:
        parse(pattern)
    except UnsupportedError:
        return
    oracle(pattern)


_ATOMS = st.sampled_from(
    [
        b"a",
        b"B",
        b".",
        b"[^a-c]",
        b"[a\\]]",
        b"\\d",
        b"\\W",
        b"\\x41",
        b"(?i)k",
        b"\\b",
        b"^",
        b"$",
        b"[\\x00-\\x20]",
        b"-",
    ]
)
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(b"".join),
        st.lists(inner, min_size=2, max_size=3).map(b"|".join).map(lambda one: b"(?:" + one + b")"),
        st.tuples(inner, st.sampled_from([b"*", b"+?", b"{1,3}", b"?"])).map(lambda two: b"(" + two[0] + b")" + two[1]),
    ),
    max_leaves=8,
)
_TEXTS = st.text("abcABCkK0-] \n", max_size=12).map(str.encode)


@settings(max_examples=500, deadline=None)
@given(_PATTERNS, _TEXTS, st.integers(0, 1000))
def test_a_rendered_tree_matches_where_its_pattern_does(pattern: bytes, text: bytes, seed: int) -> None:
    tree = parse(pattern)
    rendered = oracle(render(tree))
    for one in (text, sample(tree, random.Random(seed))):
        assert bool(rendered.search(one)) == bool(oracle(pattern).search(one)), (pattern, render(tree), one)


@pytest.mark.parametrize("pattern", [b"(?=a)", b"(a)\\1", b"a++", b"(?>a)", b"\\Ga"])
def test_what_hyperscan_cannot_do_is_not_rendered(pattern: bytes) -> None:
    with pytest.raises(UnrenderableError):
        render(parse(pattern))


def test_a_caseless_tree_is_written_once() -> None:
    assert render(parse(b"(?i)select")) == b"(?i)select"
    assert re.fullmatch(rb"\[Aa\]b", render(parse(b"(?i:a)b")))
