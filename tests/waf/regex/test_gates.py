"""A gate that hides a match hides an attack: every match must pass every gate."""

from __future__ import annotations

import random
from functools import cache, lru_cache

import hyperscan
import pcre2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd.waf.regex.erase import erase
from ratelimitd.waf.regex.evasion import erased_set
from ratelimitd.waf.regex.lanes import Plan, lanes
from ratelimitd.waf.regex.loosen import drop_anchors, loosen, unanchored
from ratelimitd.waf.regex.nodes import ALL, EMPTY, Node, Repeat, byte_set, members, weight
from ratelimitd.waf.regex.parse import Flags, parse
from ratelimitd.waf.regex.render import render
from ratelimitd.waf.regex.required import least_length, required
from ratelimitd.waf.regex.restrict import possible, restrict
from ratelimitd.waf.regex.shorten import optional_parts, until, without
from ratelimitd.waf.regex.split import split
from tests.waf.regex.crs import V3, V4, patterns
from tests.waf.regex.sample import sample
from tests.waf.regex.test_parse import _PATTERNS, _TEXTS
from tests.waf.regex.test_parse import oracle as pcre2_of

HS_FLAGS = (
    hyperscan.HS_FLAG_DOTALL
    | hyperscan.HS_FLAG_MULTILINE
    | hyperscan.HS_FLAG_SINGLEMATCH
    | hyperscan.HS_FLAG_ALLOWEMPTY
)
CONTEXT = (
    b"",
    b"",
    b"x",
    b" ",
    b"\n",
    b"a=",
    b"'",
    b'"',
    b"$",
    b"; ",
    b"it's ",
    b"\x00",
    b"\xc3\xa9",
    b"\\",
    b")",
    b"(",
)


@lru_cache(4096)
def oracle(pattern: bytes) -> pcre2.Pattern:
    return pcre2_of(pattern)


def matches(pattern: bytes, text: bytes, at_limit: bool = False) -> bool:
    """`at_limit` is the answer when PCRE2 gives up: that a pattern does not match, that a gate lets pass."""
    try:
        return oracle(pattern).search(text) is not None
    except pcre2.LibraryError:
        return at_limit


def lets_pass(node: Node, text: bytes) -> bool:
    return matches(render(node), text, True)


def without_bytes(text: bytes, erased: int) -> bytes:
    return text.translate(None, bytes(members(erased)))


def texts(tree: Node, pattern: bytes, rng: random.Random, count: int) -> list[bytes]:
    """Texts that match: a sample in some context, and sometimes evasion bytes strewn in."""
    found = []
    for _ in range(count):
        text = bytearray(rng.choice(CONTEXT) + sample(tree, rng) + rng.choice(CONTEXT))
        if rng.random() < 0.3:
            for _ in range(rng.randint(1, 4)):
                text.insert(rng.randint(0, len(text)), rng.choice(b"\"'\\[]^)$ \n"))
        if matches(pattern, bytes(text)):
            found.append(bytes(text))
    return found


@cache
def rule_set() -> list[bytes]:
    """All of version 4, and some of version 3's: much of it is the same."""
    found = [*patterns(V4), *patterns(V3)[::6]]
    if not found:
        pytest.skip(f"needs {V4} (set RATELIMITD_SHARED)")
    return list(dict.fromkeys(found))


@cache
def plan() -> Plan:
    """Of all patterns; the length stands for Hyperscan's word, which takes minutes."""
    return lanes([(pattern, Flags()) for pattern in rule_set()], lambda expression: len(expression) < 6_000)


def passes(made: Plan, index: int, text: bytes) -> bool:
    return index in made.ungated or any(
        matches(row.expression, without_bytes(text, lane.erased), True)
        for lane in made.lanes(text)
        for row in lane.rows
        if row.pattern == index
    )


def test_no_match_of_the_core_rule_set_is_hidden() -> None:
    """By restriction, by required bytes and length, by erasing, by loosening, nor by the plan of lanes."""
    rng = random.Random(3)
    tried = matched = 0
    for index, pattern in enumerate(rule_set()):
        tree = parse(pattern)
        loose = loosen(tree)
        for text in texts(tree, pattern, rng, 4 if weight(tree) < 300 else 12):
            matched += 1
            assert possible(tree, byte_set(text)), (pattern, text)
            assert least_length(tree) <= len(text), (pattern, text)
            assert all(mask & byte_set(text) for mask in required(tree)), (pattern, text)
            assert passes(plan(), index, text), (pattern, text)
            erased = byte_set(bytes(rng.sample(b"\"'[]\\^$*?()", 3)))
            assert lets_pass(erase(loose, erased), without_bytes(text, erased)), (pattern, text, erased)
        tried += 1
    assert matched > 2 * tried


def test_an_exact_row_says_what_its_pattern_says() -> None:
    rng = random.Random(5)
    made = plan()
    checked = 0
    for index, pattern in enumerate(rule_set()):
        tree = parse(pattern)
        for _ in range(3):
            text = sample(tree, rng)[: rng.choice((5, 20, 4_000))]
            if text.endswith(b"\n"):
                continue
            for lane in made.lanes(text):
                for row in lane.rows:
                    if row.pattern == index and row.exact and matches(row.expression, without_bytes(text, lane.erased)):
                        checked += 1
                        assert matches(pattern, text), (pattern, row.expression, text)
    assert checked > 100


EVASIVE = (
    rb"(?i)(?:[;|&\n]|^)\s*(?:"
    + rb"|".join(
        rb"""["')\\]*(?:\$[a-z0-9@]*)?\\?""".join(bytes([letter]) for letter in word) + rb"(?:[\s&)<>|]|$)"
        for word in (
            b"cat",
            b"curl",
            b"bash",
            b"nc",
            b"wget",
            b"python",
            b"perl",
            b"uname",
            b"whoami",
            b"id",
            b"netstat",
            b"find",
            b"sed",
        )
    )
    + rb")"
)


def test_a_shell_pattern_is_gated_by_its_words() -> None:
    """What an attacker strews into a command does not hide it; a quote in prose costs nothing."""
    made = lanes([(EVASIVE, Flags())], fits)
    assert made.ungated == ()
    assert erased_set([loosen(parse(EVASIVE))]) == byte_set(b"\"'\\")
    for text in (b";c'a't x", b'; wh\\o"$xam"i', b"|n)c ", b"cat", b"a\nb$@ash ", b'x&p"e"r\\l\n'):
        assert matches(EVASIVE, text)
        assert hits(made, text), text
    for text in (b"don't do that", b'she said "hello"', b"it costs $20; fine", b"O'Neil", b"a) b) c)"):
        assert not hits(made, text), text


@cache
def fits(expression: bytes) -> bool:
    try:
        database([expression])
    except hyperscan.error:
        return False
    return True


def database(expressions: list[bytes]) -> hyperscan.Database:
    made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    made.compile(expressions=expressions, flags=[HS_FLAGS] * len(expressions), ids=list(range(len(expressions))))
    return made


def hits(made: Plan, text: bytes) -> set[int]:
    found: set[int] = set()
    for lane in made.lanes(text):
        rows = lane.rows
        database([row.expression for row in rows]).scan(
            without_bytes(text, lane.erased),
            match_event_handler=lambda *match, rows=rows: found.add(rows[match[0]].pattern),
        )
    return found


def test_hyperscan_reads_what_is_rendered() -> None:
    """The lanes of some real patterns, compiled: every match has a hit."""
    chosen = [pattern for pattern in rule_set() if 20 < weight(parse(pattern)) < 100][::15]
    made = lanes([(pattern, Flags()) for pattern in chosen], fits)
    rng = random.Random(11)
    for index, pattern in enumerate(chosen):
        for text in texts(parse(pattern), pattern, rng, 3):
            assert index in made.ungated or index in hits(made, text), (pattern, text)


@settings(max_examples=400, deadline=None)
@given(_PATTERNS, _TEXTS, st.integers(0, 10_000))
def test_no_match_of_any_pattern_is_hidden(pattern: bytes, text: bytes, seed: int) -> None:
    tree = parse(pattern)
    loose = loosen(tree)
    rng = random.Random(seed)
    for one in (text, sample(tree, rng)):
        if not matches(pattern, one):
            continue
        assert possible(tree, byte_set(one))
        assert lets_pass(restrict(tree, byte_set(one)), one)
        assert least_length(tree) <= len(one)
        assert all(mask & byte_set(one) for mask in required(tree))
        for erased in (byte_set(b"a-"), byte_set(b"]\n"), 0):
            assert lets_pass(erase(tree, erased), without_bytes(one, erased))
        assert lets_pass(drop_anchors(loose), one)
        assert lets_pass(unanchored(loose), one)
        for part in optional_parts(loose):
            for behind in (0, 1, 2):
                cut = until(loose, part, part.item, EMPTY, behind)
                assert lets_pass(without(loose, part), one) or lets_pass(cut, one)
        parts = split(loose, lambda part: weight(part) < 4) or [loose]
        assert any(lets_pass(part, one) for part in parts)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"(a|bc)\\1", b"(?i)(b)\\1", b"(?>a|ab)c", b"(?=ab)a", b"(?<!a)b", b"a++b", b"(a)|\\1b"]), _TEXTS
)
def test_loosening_keeps_every_match(pattern: bytes, text: bytes) -> None:
    if matches(pattern, text):
        assert matches(render(loosen(parse(pattern))), text)


@settings(max_examples=200, deadline=None)
@given(_PATTERNS, _TEXTS)
def test_a_restricted_pattern_is_the_pattern_on_such_texts(pattern: bytes, text: bytes) -> None:
    left = restrict(parse(pattern), byte_set(text))
    assert matches(render(left), text) == matches(pattern, text)
    assert restrict(parse(pattern), ALL) == parse(pattern)


def test_split_is_bounded() -> None:
    tree = parse(b"(?:a|b|cd)(?:ef|g)x*")
    assert split(tree, lambda part: weight(part) < 5, 1) is None
    assert split(Repeat(tree, 2, 2), lambda part: weight(part) < 5) is None
    assert split(tree, lambda part: True) == [tree]
