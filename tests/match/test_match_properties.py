"""The native matcher and policy/evaluate say the same, and the index loses and invents nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from match_strategies import NAMED, clients, matches, path_globs, regexes, requests, texts

from ratelimitd._ext.match import probe
from ratelimitd.policy.evaluate import describe, evaluate, glob, path_param
from ratelimitd.policy.plan import Client, Condition, Match, Op, Source
from ratelimitd.policy.request import Request
from ratelimitd.policy.values import client_address, get

SCRATCH = probe.Scratch()
ATTRIBUTES = probe.Attributes()


@given(requests, clients)
@settings(max_examples=250, deadline=None)
def test_values_are_the_model_s(request: Request, client: Client) -> None:
    ATTRIBUTES.reset(request, client)
    for source in Source:
        for name in NAMED.get(source, [b""]):
            assert ATTRIBUTES.get(source, name) == get(request, client, source, name), (source, name)
    assert ATTRIBUTES.client() == client_address(request, client)


@given(st.lists(matches, min_size=1, max_size=8), st.lists(requests, min_size=1, max_size=6), clients)
@settings(max_examples=120, deadline=None)
def test_a_matcher_holds_what_the_model_holds(found: list[Match], asked: list[Request], client: Client) -> None:
    matcher = probe.Matcher(found, SCRATCH)
    for request in asked:
        ATTRIBUTES.reset(request, client)
        expected = [i for i, match in enumerate(found) if evaluate(match, request, client)[0]]
        assert matcher.run(ATTRIBUTES) == (len(expected), expected)
        assert matcher.run(ATTRIBUTES, indexed=False) == (len(expected), expected)
        for i in expected:
            for name in (b"x", b"y"):
                assert matcher.param(i, ATTRIBUTES, name) == path_param(found[i], request, client, name)


@given(matches)
@settings(max_examples=100, deadline=None)
def test_the_words_of_both_are_the_same(match: Match) -> None:
    words = probe.Matcher([match], SCRATCH).dump(0)
    for alternative in match.alternatives:
        for condition in alternative:
            assert describe(condition).lower() in words.lower()


@given(path_globs, texts("/ab.", 14), st.booleans())
@settings(max_examples=1000, deadline=None)
def test_globs_of_paths_match_and_capture_as_the_model_s(pattern: bytes, text: bytes, ignore_case: bool) -> None:
    found, _ = probe.glob(pattern, text, True, ignore_case)
    assert found == glob(pattern, text, path=True, ignore_case=ignore_case)


@given(texts("abA*?\\", 10), texts("abA/", 14), st.booleans())
@settings(max_examples=700, deadline=None)
def test_globs_of_other_values_match_as_the_model_s(pattern: bytes, text: bytes, ignore_case: bool) -> None:
    found, _ = probe.glob(pattern, text, False, ignore_case)
    assert found == glob(pattern, text, path=False, ignore_case=ignore_case)


@pytest.mark.parametrize(
    ("pattern", "text", "captures"),
    [
        (b"/media/*", b"/media/", None),
        (b"/media/*", b"/media/a", {}),
        (b"/media/*", b"/media/a/b/", {}),
        (b"/*/b", b"/a/b", {}),
        (b"/*/b", b"/a/a/b", None),
        (b"/**/b", b"/a/a/b", {}),
        (b"/**", b"/", {}),
        (b"/u/{id}", b"/u/7", {b"id": b"7"}),
        (b"/u/{id}", b"/u/", None),
        (b"/u/{id}", b"/u/7/8", None),
        (b"/**/{a}/{b}", b"/1/2/3", {b"a": b"2", b"b": b"3"}),
        (b"/{a}/**", b"/1/2/3", {b"a": b"1"}),
        (b"/{a}-{b}", b"/1-2-3", {b"a": b"1", b"b": b"2-3"}),
        (b"/\\*", b"/*", {}),
        (b"/\\*", b"/a", None),
        (b"", b"", {}),
        (b"", b"/", None),
    ],
)
def test_globs_of_paths(pattern: bytes, text: bytes, captures: dict[bytes, bytes] | None) -> None:
    assert probe.glob(pattern, text)[0] == captures


REGEXES = [b"[[:alpha:]]+", rb"a\z", rb"\Aa\z", b"a{2}", b"(?i)A", rb"\x61", b"[^/]+", b"a|", b"(?s)a.", b"a$"]


@pytest.mark.parametrize("pattern", REGEXES)
@pytest.mark.parametrize("value", [b"a", b"aa", b"A", b"", b"a\n", b":", b"/"])
def test_a_regex_means_the_same_to_both(pattern: bytes, value: bytes) -> None:
    match = Match(((Condition(Source.HEADER, Op.REGEX, b"x", (pattern,)),),))
    request = Request(headers=((b"x", value),))
    ATTRIBUTES.reset(request, Client())
    assert probe.Matcher([match], SCRATCH).run(ATTRIBUTES)[0] == evaluate(match, request)[0]


@st.composite
def among_many_regexes(draw: st.DrawFn) -> list[Match]:
    """So many of one value that they are scanned as a set, some beside conditions that are asked after a hit."""

    def regex(source: Source, name: bytes = b"") -> Condition:
        operands = draw(st.lists(regexes, min_size=1, max_size=2))
        return Condition(source, Op.REGEX, name, tuple(operands), negate=draw(st.integers(0, 9)) == 0)

    others: list[tuple[Condition, ...]] = [
        (),
        (Condition(Source.METHOD, Op.EXACT, operands=(b"GET",)),),
        (regex(Source.HEADER, b"x-a"),),
        (regex(Source.PATH),),
    ]
    alternatives = [(regex(Source.PATH), *draw(st.sampled_from(others))) for _ in range(draw(st.integers(9, 30)))]
    return [Match(tuple(alternatives[i : i + 2])) for i in range(0, len(alternatives), draw(st.integers(1, 2)))]


@given(among_many_regexes(), st.lists(requests, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_regexes_in_a_set_hold_as_alone(found: list[Match], asked: list[Request]) -> None:
    matcher = probe.Matcher(found, SCRATCH)
    for request in asked:
        ATTRIBUTES.reset(request, Client())
        expected = [i for i, match in enumerate(found) if evaluate(match, request, Client())[0]]
        assert matcher.run(ATTRIBUTES) == (len(expected), expected)
