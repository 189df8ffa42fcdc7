"""Whose request it is: only what our own proxies wrote counts."""

from __future__ import annotations

import pytest

from ratelimitd.client.address import AddressError, bare, client


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7:443 ", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("", ""),
        ("unknown", ""),
        ("203.0.113.7:x", ""),
        ("[2001:db8::1]x", ""),
        ("203.0.113", ""),
        ("203.0.113.7\0", ""),
        ("1.2.3.4.5", ""),
        ("::g", ""),
        ("[203.0.113.7", ""),
        ("[2001:db8::1", ""),
    ],
)
def test_addresses_are_read_without_port_and_brackets(entry: str, address: str) -> None:
    assert bare(entry) == address


CLAIM = ("X-Forwarded-For", "198.51.100.1, 198.51.100.2")


@pytest.mark.parametrize(
    ("hops", "lines", "found"),
    [
        (0, ["6.6.6.6"], "10.0.0.1"),
        (0, [], "10.0.0.1"),
        (1, ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (1, ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        (2, ["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (2, ["203.0.113.7"], "10.0.0.1"),  # did not come through both: the claim is worth nothing
        (1, [], "10.0.0.1"),
    ],
)
def test_entries_count_from_the_right(hops: int, lines: list[str], found: str) -> None:
    """Over all lines of the header, as a proxy may add a line instead of an entry."""
    headers: list[tuple[str, str | bytes]] = [("host", "a"), *(("X-Forwarded-For", line) for line in lines)]
    source, asked = client("10.0.0.1", headers, hops)
    assert source == found
    assert [v for n, v in asked if n.lower() == "x-forwarded-for"] == [found]  # nobody can count wrong again
    assert [v for n, v in asked if n == "x-original-forwarded-for"] == lines
    assert asked[0] == ("host", "a")


@pytest.mark.parametrize(
    ("peer", "hops", "line"), [("", 0, "6.6.6.6"), ("", 1, ""), ("10.0.0.1", 1, "evil"), ("x", 0, "")]
)
def test_who_cannot_be_told_is_an_error(peer: str, hops: int, line: str) -> None:
    with pytest.raises(AddressError, match="is not an address"):
        client(peer, [("x-forwarded-for", line)] if line else [], hops)
