"""Queries, cookies, targets and paths."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimitd._ext.bytes import probe

QUERY_BYTES = st.lists(
    st.sampled_from([b"a", b"b", b"=", b"&", b"%", b"4", b"1", b"+", b"\x00", b"\xff"]), max_size=30
).map(b"".join)
PATH_BYTES = st.lists(
    st.sampled_from(
        [b"a", b"/", b"/", b".", b"..", b"%2e", b"%2F", b"%", b"%5c", b"\\", b"%00", b"%25", b"%2", b"...", b"b."]
    ),
    max_size=14,
).map(b"".join)


@given(QUERY_BYTES)
def test_pairs_are_those_of_urllib(query: bytes) -> None:
    text = query.decode("latin-1")
    decoded = [(probe.url_decode(n), probe.url_decode(v)) for n, v in probe.query_pairs(query)]
    assert decoded == [
        (n.encode("latin-1"), v.encode("latin-1"))
        for n, v in parse_qsl(text, keep_blank_values=True, encoding="latin-1")
    ]


@given(QUERY_BYTES)
def test_decoding_is_unquote_plus(text: bytes) -> None:
    assert probe.url_decode(text) == unquote_to_bytes(text.replace(b"+", b" "))


def test_cookies_are_trimmed_and_empty_ones_skipped() -> None:
    assert probe.cookie_pairs(b" a=1; b = x=y ;;c;\t; =v") == [(b"a", b"1"), (b"b", b"x=y"), (b"c", b""), (b"", b"v")]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a?b#c", b"/a", b"b"),
        (b"/a#b?c", b"/a", b""),
        (b"http://h/a?b", b"/a", b"b"),
        (b"HTTP://h", b"", b""),
        (b"http://h?b", b"", b"b"),
        (b"//h/a", b"//h/a", b""),
        (b"*", b"*", b""),
        (b"", b"", b""),
        (b"/?", b"/", b""),
        (b"/a??b", b"/a", b"?b"),
    ],
)
def test_a_target_splits_into_path_and_query(target: bytes, path: bytes, query: bytes) -> None:
    assert probe.target_split(target) == (path, query)


def normal(raw: bytes) -> bytes:
    """RFC 3986 section 5.2.4 on decoded bytes, with empty segments dropped."""
    out: list[bytes] = []
    *segments, last = unquote_to_bytes(raw).split(b"/")
    for segment in segments:
        if segment == b"..":
            out = out[:-1]
        elif segment not in (b"", b"."):
            out.append(segment)
    if last == b"..":
        out, last = out[:-1], b""
    if last == b".":
        last = b""
    return b"/" + b"".join(s + b"/" for s in out) + last


@given(PATH_BYTES)
@example(b"/a/%2e%2E/../..//b/./c/..")
@example(b"")
@example(b"..")
@example(b"/%2F%2f../x")
def test_normalising_follows_the_rfc_on_decoded_bytes(raw: bytes) -> None:
    assert probe.path_normalize(raw) == normal(raw)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/secure/v2/login", b"/secure/v2/login"),
        (b"/secure/%2e%2e/secure//v2/./login", b"/secure/v2/login"),
        (b"/secure%2Fv2%2Flogin", b"/secure/v2/login"),
        (b"/../../etc/passwd", b"/etc/passwd"),
        (b"/a/b/..", b"/a/"),
        (b"/a/..;/b", b"/a/..;/b"),
        (b"/a./b../...", b"/a./b../..."),
        (b"/%252e%252e/a", b"/%2e%2e/a"),
        (b"login", b"/login"),
        (b"/a\\..\\b", b"/a\\..\\b"),
    ],
)
def test_a_path_cannot_hide(raw: bytes, path: bytes) -> None:
    assert probe.path_normalize(raw) == path


@given(PATH_BYTES)
def test_what_needs_no_decoding_is_a_fixed_point(raw: bytes) -> None:
    once = probe.path_normalize(raw)
    if b"%" not in once:
        assert probe.path_normalize(once) == once
