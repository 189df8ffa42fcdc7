"""Hostile globs and texts, in steps and not in seconds; large sets; refused sizes."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.match import probe
from ratelimitd.policy.plan import Cidr, Client, Condition, Match, Op, Source
from ratelimitd.policy.request import Request

SIZE = 4000
TEXTS = [b"/" + b"a" * SIZE, b"/a" * (SIZE // 2), b"/" * SIZE, (b"/" + b"a" * 60) * (SIZE // 61)]
PATTERNS = [
    b"/" + b"*a" * 200 + b"b",
    b"**" + b"*a" * 200 + b"b",
    b"**a" * 200 + b"b",
    b"**/a*a*a*a*b" * 20,
    b"**/" * 200 + b"b",
    b"/**/{x}a{y}/b",
    b"**" + b"/*" * 50 + b"/b",
    b"**a*" * 100 + b"/b",
    b"**" + b"a" * 100 + b"*b",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_path_costs_few_steps(pattern: bytes, text: bytes) -> None:
    """At most text times segments of the pattern: never exponential, never quadratic in the text."""
    found, steps = probe.glob(pattern, text)
    assert found is None
    assert steps <= 4 * len(text) * (pattern.count(b"/") + 1)


def test_steps_grow_with_the_text_and_not_with_its_square() -> None:
    for pattern in PATTERNS:
        for unit in (b"a", b"/a", b"/aab", b"/"):
            short = probe.glob(pattern, unit * 1000)[1]
            long = probe.glob(pattern, unit * 8000)[1]
            assert long <= 9 * short + 1000, (pattern, unit)


@pytest.mark.parametrize("text", TEXTS)
def test_a_hostile_value_costs_few_steps(text: bytes) -> None:
    for pattern in (b"*a" * 300 + b"b", b"*?" * 300 + b"b", b"*" * 1000 + b"b", b"*a?" * 200 + b"*b"):
        found, steps = probe.glob(pattern, text, False)
        assert found is None
        assert steps <= 4 * len(text)


def test_a_glob_of_more_than_4096_bytes_or_16_captures_is_refused() -> None:
    assert probe.glob(b"a" * 4096, b"a" * 4096)[0] == {}
    with pytest.raises(ValueError, match="4096"):
        probe.glob(b"a" * 4097, b"")
    sixteen = b"".join(b"/{p%d}" % i for i in range(16))
    found, _ = probe.glob(sixteen, b"/x" * 16)
    assert found is not None
    assert len(found) == 16
    with pytest.raises(ValueError, match="16 captures"):
        probe.glob(sixteen + b"/{q}", b"")


def test_a_large_set_finds_the_few_that_hold() -> None:
    """Ten thousand entries, every kind of anchor: the index and the walk over all agree."""
    kinds = [
        lambda i: Condition(Source.PATH, Op.EXACT, operands=(b"/api/v1/%d" % i,)),
        lambda i: Condition(Source.PATH, Op.PREFIX, operands=(b"/pre/%d/" % i, b"/Pre/%d" % i)),
        lambda i: Condition(Source.PATH, Op.GLOB, operands=(b"/u/{id}/t%d" % i,)),
        lambda i: Condition(Source.PATH, Op.GLOB, operands=(b"/m/%d/*" % i,), ignore_case=True),
        lambda i: Condition(Source.HOST, Op.SUFFIX, operands=(b".h%d.example" % i,)),
        lambda i: Condition(Source.HEADER, Op.EXACT, b"x-key", operands=(b"K%d" % i,), ignore_case=True),
        lambda i: Condition(Source.QUERY, Op.GLOB, b"q", operands=(b"q%d*" % i,)),
        lambda i: Condition(
            Source.CLIENT_IP, Op.CIDR, cidrs=(Cidr(b"\x20\x01" + i.to_bytes(4, "big") + bytes(10), 48),)
        ),
        lambda i: Condition(Source.HEADER, Op.PRESENT, b"x-%d" % (i % 50)),
    ]
    get = Condition(Source.METHOD, Op.EXACT, operands=(b"GET",))
    matches = [Match(((kinds[i % len(kinds)](i), get),)) for i in range(10_000)]
    matcher = probe.Matcher(matches)
    attributes = probe.Attributes()
    seeded = random.Random(5)
    for _ in range(200):
        i = seeded.randrange(10_000)
        path = seeded.choice((b"/api/v1/%d", b"/pre/%d/x", b"/u/7/t%d", b"/M/%d/a/b", b"/none/%d")) % i
        headers = ((b"x-key", b"k%d" % seeded.randrange(10_000)), (b"x-3", b""))
        address = b"2001:%x:%x::1" % divmod(seeded.randrange(10_000), 65536)
        request = Request(path=path + b"?q=q%d" % i, host=b"a.h%d.example" % i, headers=headers, source_address=address)
        attributes.reset(request, Client())
        found = matcher.run(attributes)
        assert found == matcher.run(attributes, indexed=False)
        assert found[0] > 0


def test_many_regexes_of_one_value_cost_a_few_scans() -> None:
    """Two thousand on the path alone: as sets they cost far less than one scan each."""
    attributes = probe.Attributes()
    attributes.reset(Request(path=b"/api/v2/svc77/x"), Client())

    def matcher(count: int) -> probe.Matcher:
        conditions = [
            Condition(Source.PATH, Op.REGEX, operands=(b"/(api|rest)/v\\d/svc%d(/.*)?" % i,)) for i in range(count)
        ]
        return probe.Matcher([Match(((condition,),)) for condition in conditions])

    def cost(measured: probe.Matcher) -> float:
        return min(measured.measure(attributes, 20) for _ in range(200))

    few, many = matcher(8), matcher(2000)
    assert many.run(attributes) == (1, [77])
    assert cost(many) < 20 * cost(few)  # 250 times as many


def test_a_bad_regex_among_many_is_named() -> None:
    patterns = [b"/%d" % i for i in range(20)]
    patterns[13] = b"/13("
    with pytest.raises(ValueError, match=r"regex '/13\('"):
        probe.Matcher([Match(((Condition(Source.PATH, Op.REGEX, operands=(p,)),),)) for p in patterns])


def test_many_operands_are_found_as_few_are() -> None:
    many = tuple(b"Op%d" % i for i in range(1000))
    attributes = probe.Attributes()
    for op, value in ((Op.EXACT, b"oP999"), (Op.PREFIX, b"oP999-and-more"), (Op.SUFFIX, b"more-oP999")):
        for ignore_case, negate in ((True, False), (True, True), (False, False), (False, True)):
            condition = Condition(Source.HEADER, op, b"x", many, negate=negate, ignore_case=ignore_case)
            attributes.reset(Request(headers=((b"x", value),)), Client())
            assert probe.Matcher([Match(((condition,),))]).run(attributes)[0] == (ignore_case != negate)


def test_random_tries_find_what_a_walk_finds() -> None:
    """Prefixes that end inside one another, empty ones, and bytes of either sign."""
    seeded = random.Random(13)
    alphabet = b"\0/aA\x7f\x80\xff"
    attributes = probe.Attributes()
    for _ in range(60):
        operands = [bytes(seeded.choices(alphabet, k=seeded.randrange(6))) for _ in range(40)]
        for op in (Op.PREFIX, Op.SUFFIX, Op.EXACT):
            matches = [Match(((Condition(Source.HEADER, op, b"x", (operand,)),),)) for operand in operands]
            matcher = probe.Matcher(matches)
            for _ in range(10):
                value = bytes(seeded.choices(alphabet, k=seeded.randrange(9)))
                attributes.reset(Request(headers=((b"x", value),)), Client())
                assert matcher.run(attributes) == matcher.run(attributes, indexed=False)


def test_a_slow_pattern_in_the_policy_is_the_engine_s_to_bound() -> None:
    condition = Condition(Source.PATH, Op.REGEX, operands=(rb"/(a|aa)+(a|aa)+(a|aa)+b",))
    attributes = probe.Attributes()
    attributes.reset(Request(path=b"/" + b"a" * 20_000), Client())
    matcher = probe.Matcher([Match(((condition,),))])
    assert matcher.run(attributes) == (0, [])
