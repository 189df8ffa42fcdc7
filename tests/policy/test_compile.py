"""What policies mean: the plan that comes out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.outcomes import denies, score_of
from ratelimitd.policy.plan import (
    Algorithm,
    Condition,
    Domain,
    HeaderFamily,
    KeyPart,
    Limit,
    Op,
    OverrideKind,
    ScanMode,
    Source,
)
from ratelimitd.policy.units import format_cidr
from ratelimitd.waf.explain import chains, name_of, selector_words

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def limit_of(body: str, *, domain: str = "d", name: str = "a", before: str = "") -> Limit:
    (found,) = (
        load_text(f"version: 1\ndomain: {domain}\n{before}\nlimits: {{{name}: {{{body}}}}}\n").plan.domains[0].limits
    )
    return found


def conditions_of(match: str) -> list[Condition]:
    (alternative,) = limit_of(f"match: {{{match}}}, key: client.ip, limit: 1, window: 1s").match.alternatives
    return list(alternative)


@pytest.fixture(scope="module")
def everything() -> Domain:
    return load_policy(HERE / "good" / "everything.yaml").plan.domains[0]


def test_the_design_example_means_what_it_says() -> None:
    (shop,) = load_policy(ROOT / "examples" / "policies" / "shop.yaml").plan.domains
    limits = {limit.name: limit for limit in shop.limits}
    assert list(limits) == [b"per-ip", b"login", b"plan", b"media"]
    assert (limits[b"login"].rate.limit, limits[b"login"].rate.window_ms) == (5, 30_000)
    assert limits[b"login"].key == (KeyPart(Source.CLIENT_IP), KeyPart(Source.HEADER, b"x-api-key"))
    assert (limits[b"media"].rate.limit, limits[b"media"].rate.window_ms) == (2000, 4000)
    assert limits[b"media"].shadow
    kinds = [(o.kind, o.text, o.rate.limit, o.rate.unlimited) for o in limits[b"plan"].overrides]
    assert kinds == [(OverrideKind.EXACT, b"partner-42", 1000, True), (OverrideKind.GLOB, b"gold-*", 20000, False)]
    assert [route.mode for route in shop.scan.routes] == [ScanMode.BLOCK, ScanMode.OFF]


def test_every_key_arrives(everything: Domain) -> None:
    assert everything.shadow
    assert everything.headers is HeaderFamily.BOTH
    assert (everything.all_or_none, everything.metadata, everything.log_keys) == (False, False, "hash")
    assert (everything.client.hops, everything.client.header) == (2, b"x-forwarded-for")
    assert (everything.client.ipv4_prefix, everything.client.ipv6_prefix) == (24, 56)
    assert [(item.name, item.status, item.shadow) for item in everything.lists] == [
        (b"office", 403, False),
        (b"tor", 451, True),
    ]
    sliding = next(limit for limit in everything.limits if limit.name == b"sliding")
    assert (sliding.buckets, sliding.cost, sliding.shadow, sliding.skip_missing_key, sliding.status) == (
        4,
        2,
        True,
        True,
        503,
    )
    assert sliding.key == (
        KeyPart(Source.PATH_PARAM, b"user"),
        KeyPart(Source.CLIENT_IP),
        KeyPart(Source.CONSTANT, b"v2"),
    )
    assert len(sliding.match.alternatives) == 2
    scan = everything.scan
    (profile,) = scan.profiles
    assert (scan.mode, profile.status, profile.body_limit) == (ScanMode.DETECT, 406, 65536)
    assert profile.deny_partial_body
    found = {name_of(links[0]): links for _, links in chains(profile.program)}
    assert "1009010" not in found
    assert (found["1009900"][0].argument, found["1009900"][0].status) == ((b"10",), 406)
    sql, php = found["100001"], found["no-php"]
    assert [*map(selector_words, sql[0].selectors)] == [
        "ARGS",
        "!ARGS:query",
        "REQUEST_HEADERS:user-agent",
        "REQUEST_COOKIES:session",
    ]
    scores = [score_of(profile.program, links) for links in (sql, php)]
    assert (scores, denies(sql), denies(php)) == ([3, 0], False, True)
    assert php[0].argument[0].startswith(b"(?i-m:")


def test_a_limit_without_a_match_takes_everything() -> None:
    assert limit_of("key: client.ip, limit: 1, window: 1s").match.alternatives == ((),)


@pytest.mark.parametrize(
    ("match", "op", "operands"),
    [
        ("path: /a", Op.EXACT, (b"/a",)),
        ("path: /a/*", Op.GLOB, (b"/a/**",)),
        ("path: /a/*/b", Op.GLOB, (b"/a/*/b",)),
        ('path: "/a/{id}"', Op.GLOB, (b"/a/{id}",)),
        ('path: [/a?b, "/c/{id}"]', Op.GLOB, (rb"/a\?b", b"/c/{id}")),
        ("path: {exact: /a*}", Op.EXACT, (b"/a*",)),
        ("path: {prefix: [/a, /b]}", Op.PREFIX, (b"/a", b"/b")),
        ("host: [Example.ORG, '*.Example.org']", Op.GLOB, (b"example.org", b"*.example.org")),
        ("header.x: '{id}'", Op.EXACT, (b"{id}",)),
        ("header.x: {regex: 'A+'}", Op.REGEX, (b"A+",)),
        ("header.x: {regex: 'A+', ignore_case: true}", Op.REGEX, (b"(?i:A+)",)),
        ("method: [GET, HEAD]", Op.EXACT, (b"GET", b"HEAD")),
        ("query.a: {present: true}", Op.PRESENT, ()),
    ],
)
def test_conditions(match: str, op: Op, operands: tuple[bytes, ...]) -> None:
    (condition,) = conditions_of(match)
    assert (condition.op, condition.operands, condition.negate) == (op, operands, False)


def test_conditions_of_one_value_must_all_hold() -> None:
    found = conditions_of("header.X-Id: {prefix: a, not: [ab, ac], ignore_case: true}")
    assert found == [
        Condition(Source.HEADER, Op.PREFIX, b"x-id", (b"a",), ignore_case=True),
        Condition(Source.HEADER, Op.EXACT, b"x-id", (b"ab", b"ac"), negate=True, ignore_case=True),
    ]
    assert conditions_of("query.a: {present: false}") == [Condition(Source.QUERY, Op.PRESENT, b"a", negate=True)]


def test_networks_are_mapped_into_ipv6() -> None:
    (condition,) = conditions_of("client.ip: [10.0.0.0/8, 192.0.2.1, '2001:db8::/32']")
    assert condition.op is Op.CIDR
    assert [(cidr.address[10:12], cidr.prefix) for cidr in condition.cidrs[:2]] == [
        (b"\xff\xff", 104),
        (b"\xff\xff", 128),
    ]
    assert [format_cidr(cidr) for cidr in condition.cidrs] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]


def test_globs_of_overrides_go_from_the_most_to_the_least_specific() -> None:
    names = ["a*", "*", "abc*", "ab*c", "a*b*c", "abcd", "*abc"]
    overrides = ", ".join(f"'{name}': {{limit: {i}}}" for i, name in enumerate(names))
    found = limit_of(f"key: header.x, limit: 1, window: 1s, overrides: {{{overrides}}}").overrides
    assert [o.text for o in found] == [b"abcd", b"*abc", b"ab*c", b"abc*", b"a*b*c", b"a*", b"*"]


def test_networks_of_overrides_go_from_the_longest_prefix() -> None:
    overrides = "10.0.0.0/8: {limit: 1}, 10.1.0.0/16: {limit: 2}, 10.1.1.1: {limit: 3}"
    found = limit_of(f"key: client.ip, limit: 1, window: 1s, overrides: {{{overrides}}}").overrides
    assert [(o.kind, o.rate.limit) for o in found] == [
        (OverrideKind.CIDR, 3),
        (OverrideKind.CIDR, 2),
        (OverrideKind.CIDR, 1),
    ]


@pytest.mark.parametrize(
    ("body", "limit", "window_ms"),
    [
        ("rate: 500/s, burst: 2000", 2000, 4000),
        ("rate: 10/m", 10, 60_000),
        ("rate: 1000/1h, burst: 1", 1, 3600),
        ("rate: 3/s, burst: 10", 10, 3333),
    ],
)
def test_a_bucket_is_its_burst_and_the_time_to_fill_it(body: str, limit: int, window_ms: int) -> None:
    found = limit_of(f"key: client.ip, algorithm: token_bucket, {body}")
    assert found.algorithm is Algorithm.TOKEN_BUCKET
    assert (found.rate.limit, found.rate.window_ms) == (limit, window_ms)


BASE = "key: client.ip, limit: 5, window: 1m"


@pytest.mark.parametrize(
    "body",
    [
        "key: client.ip, limit: 6, window: 60s",
        f"{BASE}, mode: shadow, status: 503, cost: 2",
        f"{BASE}, match: {{path: /a}}",
        f"{BASE}, overrides: {{10.0.0.0/8: {{limit: 1}}}}",
    ],
)
def test_an_edit_of_values_keeps_the_counters(body: str) -> None:
    assert limit_of(body).identity == limit_of(BASE).identity


@pytest.mark.parametrize(
    "body",
    [
        "key: client.ip, limit: 5, window: 2m",
        "key: [client.ip, method], limit: 5, window: 1m",
        "key: header.client.ip, limit: 5, window: 1m",
        f"{BASE}, algorithm: fixed_window",
        f"{BASE}, buckets: 2",
    ],
)
def test_an_edit_of_their_meaning_does_not(body: str) -> None:
    assert limit_of(body).identity != limit_of(BASE).identity


def test_counters_belong_to_a_domain_and_a_name() -> None:
    found = {limit_of(BASE).identity, limit_of(BASE, domain="e").identity, limit_of(BASE, name="b").identity}
    assert len(found) == 3
    assert all(len(identity) == 16 for identity in found)
