"""Matchers: which entries hold, in which order, and what their globs capture."""

from __future__ import annotations

import pytest

from ratelimitd._ext.match import probe
from ratelimitd.policy.plan import Cidr, Client, Condition, Match, Op, Source
from ratelimitd.policy.request import Request

MAPPED = bytes(10) + b"\xff\xff"
REQUEST = Request(
    method=b"POST",
    path=b"/shop//items/7%20b?plan=gold&plan=iron",
    host=b"Shop.Example.COM:443",
    headers=((b"x-plan", b"Gold"), (b"x-plan", b"iron"), (b"cookie", b"sid=1; lang=en"), (b"x-empty", b"")),
    source_address=b"203.0.113.7",
    attributes=((b"route", b"checkout"),),
)


def attributes(request: Request = REQUEST, client: Client | None = None) -> probe.Attributes:
    out = probe.Attributes()
    out.reset(request, client or Client())
    return out


def match(*conditions: Condition) -> Match:
    return Match((conditions,))


def condition(source: Source, op: Op, *operands: bytes, **more: object) -> Condition:
    return Condition(source, op, operands=operands, **more)  # type: ignore[arg-type]


def cidr(address: bytes, prefix: int) -> Cidr:
    return Cidr(MAPPED + address, 96 + prefix)


HOLDING = [
    condition(Source.METHOD, Op.EXACT, b"GET", b"POST"),
    condition(Source.METHOD, Op.EXACT, b"post", ignore_case=True),
    condition(Source.PATH, Op.EXACT, b"/shop/items/7 b"),
    condition(Source.RAW_PATH, Op.EXACT, b"/shop//items/7%20b"),
    condition(Source.PATH, Op.PREFIX, b"/shop/"),
    condition(Source.PATH, Op.GLOB, b"/shop/*"),
    condition(Source.PATH, Op.GLOB, b"/{any}/items/{item}"),
    condition(Source.PATH, Op.REGEX, rb"/shop/items/\d .", b"/never"),
    condition(Source.HOST, Op.EXACT, b"shop.example.com"),
    condition(Source.HOST, Op.SUFFIX, b".example.com"),
    condition(Source.HOST, Op.GLOB, b"*.example.com"),
    condition(Source.HEADER, Op.EXACT, b"Gold", name=b"x-plan"),
    condition(Source.HEADER, Op.EXACT, b"gOLD", name=b"x-plan", ignore_case=True),
    condition(Source.HEADER, Op.EXACT, b"iron", name=b"x-plan", negate=True),
    condition(Source.HEADER, Op.EXACT, b"", name=b"x-empty"),
    condition(Source.HEADER, Op.EXACT, b"any", name=b"x-absent", negate=True),
    condition(Source.HEADER, Op.PRESENT, name=b"x-absent", negate=True),
    condition(Source.HEADER, Op.PRESENT, name=b"x-empty"),
    condition(Source.COOKIE, Op.EXACT, b"en", name=b"lang"),
    condition(Source.QUERY, Op.EXACT, b"gold", name=b"plan"),
    condition(Source.ATTRIBUTE, Op.GLOB, b"check?ut", name=b"route"),
    condition(Source.CLIENT_IP, Op.CIDR, cidrs=(cidr(b"\xcb\0\x71\0", 24),)),
    condition(Source.CLIENT_IP, Op.EXACT, b"203.0.113.7"),
]
FAILING = [
    condition(Source.METHOD, Op.EXACT, b"post"),
    condition(Source.METHOD, Op.EXACT),
    condition(Source.PATH, Op.PREFIX, b"/shop/items/7 b/"),
    condition(Source.PATH, Op.GLOB, b"/shop/items/7 b/*"),
    condition(Source.PATH, Op.GLOB, b"/*b"),
    condition(Source.PATH, Op.REGEX, b"/shop"),
    condition(Source.SCHEME, Op.PRESENT),
    condition(Source.HEADER, Op.EXACT, b"iron", name=b"x-plan"),
    condition(Source.HEADER, Op.GLOB, b"*", name=b"x-absent"),
    condition(Source.HEADER, Op.CIDR, name=b"x-plan", cidrs=(Cidr(bytes(16), 0),)),
    condition(Source.CLIENT_IP, Op.CIDR, cidrs=(cidr(b"\xcb\0\x71\0", 24),), negate=True),
    condition(Source.CLIENT_IP, Op.CIDR, cidrs=(cidr(b"\xcb\0\x72\0", 24),)),
]


@pytest.mark.parametrize("holding", HOLDING, ids=str)
def test_a_condition_holds(holding: Condition) -> None:
    assert probe.Matcher([match(holding)]).run(attributes()) == (1, [0])


@pytest.mark.parametrize("failing", FAILING, ids=str)
def test_a_condition_fails(failing: Condition) -> None:
    assert probe.Matcher([match(failing)]).run(attributes()) == (0, [])


def test_alternatives_are_or_and_conditions_are_and() -> None:
    yes, no = HOLDING[0], FAILING[0]
    matches = [Match(((yes, no), (yes, yes))), Match(((yes, no),)), Match(), Match(())]
    assert probe.Matcher(matches).run(attributes()) == (2, [0, 2])


def test_ids_ascend_and_the_smallest_are_written_when_there_is_no_room_for_all() -> None:
    matches = [match(HOLDING[i % len(HOLDING)]) for i in range(100)]
    matcher = probe.Matcher(matches)
    assert matcher.run(attributes()) == (100, list(range(100)))
    assert matcher.run(attributes(), limit=7) == (100, list(range(7)))
    assert matcher.run(attributes(), limit=0) == (100, [])


def test_an_empty_matcher_holds_nothing() -> None:
    assert probe.Matcher([]).run(attributes()) == (0, [])


def test_a_path_parameter_is_what_the_glob_bound() -> None:
    by_segment = match(condition(Source.PATH, Op.GLOB, b"/never/{item}", b"/{shop}/items/{item}"))
    by_rest = match(condition(Source.PATH, Op.GLOB, b"/**/{last}"))
    matcher = probe.Matcher([by_segment, by_rest, Match()])
    bound = attributes()
    assert matcher.param(0, bound, b"item") == b"7 b"
    assert matcher.param(0, bound, b"shop") == b"shop"
    assert matcher.param(0, bound, b"other") is None
    assert matcher.param(1, bound, b"last") == b"7 b"
    assert matcher.param(2, bound, b"last") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [(b"a(", "Missing close parenthesis"), (b"a)|(b", "Unmatched"), (b"(?=a)b", "Zero-width"), (b"a\0b", "zero byte")],
)
def test_a_bad_regex_is_refused_with_the_reason(pattern: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        probe.Matcher([match(condition(Source.PATH, Op.REGEX, b"/good", pattern))])
    assert pattern.split(b"\0")[0].decode() in str(refusal.value)


def test_a_regex_is_the_whole_value_and_a_dot_is_any_byte() -> None:
    matcher = probe.Matcher(
        [match(condition(Source.HEADER, Op.REGEX, p, name=b"x")) for p in (b"a.c", b"a|b", b"", b"(?i)ABC", b".*")]
    )
    for value, ids in [
        (b"a\nc", [0, 4]),
        (b"a\xffc", [0, 4]),
        (b"aXcd", [4]),
        (b"b", [1, 4]),
        (b"", [2, 4]),
        (b"abc", [0, 3, 4]),
    ]:
        assert matcher.run(attributes(Request(headers=((b"x", value),))))[1] == ids


def test_one_scratch_serves_many_matchers() -> None:
    scratch = probe.Scratch()
    small = probe.Matcher([match(HOLDING[7])], scratch)
    large = probe.Matcher([match(c) for c in HOLDING + FAILING], scratch)
    for _ in range(3):
        assert small.run(attributes()) == (1, [0])
        assert large.run(attributes())[0] == len(HOLDING)


def test_a_matcher_says_what_it_is_in_words_the_anchor_first() -> None:
    both = (condition(Source.CLIENT_IP, Op.CIDR, cidrs=(cidr(b"\x0a\0\0\0", 8),)), HOLDING[0])
    matcher = probe.Matcher([Match((both, (HOLDING[15],))), Match(), Match(())])
    assert matcher.dump(0) == "client.ip in 10.0.0.0/8 and method = GET | POST or not header x-absent = any"
    assert [matcher.dump(i) for i in (1, 2)] == ["always", "never"]
