"""Addresses: what Python's ipaddress reads and writes, plus ports, zones and blanks."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd._ext.bytes import probe

MAPPED = bytes(10) + b"\xff\xff"


def packed(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else MAPPED + address.packed


def expected(text: str) -> bytes | None:
    try:
        return packed(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:80", "203.0.113.7"),
        ("203.0.113.7:65535", "203.0.113.7"),
        (" \t203.0.113.7\t ", "203.0.113.7"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[fe80::1%eth0]:443", "fe80::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::", "::"),
    ],
)
def test_an_address_is_read_with_port_zone_and_blanks(text: str, meaning: str) -> None:
    assert probe.address_parse(text.encode()) == packed(meaning)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.256",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:123456",
            "1.2.3.4 5",
        ),
        *("1.2.3.4:8x", ":", ":1", "1:", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9"),
        *(
            "12345::",
            "::1.2.3",
            "::1.2.3.4.5",
            "1.2.3.4::",
            "::g",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[1.2.3.4]",
            "::1]",
            "fe80::1%",
        ),
        *(
            "fe80::1%a%b",
            "unknown",
            "_hidden",
            "1.2.3.4%eth0",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
        ),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert probe.address_parse(text.encode()) is None


@given(st.text(alphabet="0123456789abfF:.", max_size=40))
def test_plain_text_reads_as_ipaddress_reads_it(text: str) -> None:
    # A port is ours alone.
    if text.count(":") == 1:
        return
    assert probe.address_parse(text.encode()) == expected(text)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_text_of_every_address_reads_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    for text in (str(address), address.exploded, address.exploded.upper()):
        assert probe.address_parse(text.encode()) == packed(str(address))


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8))
def test_format_is_rfc5952(groups: list[int]) -> None:
    raw = b"".join(g.to_bytes(2, "big") for g in groups)
    text = probe.address_format(raw)
    if raw.startswith(MAPPED):
        assert text == str(ipaddress.IPv4Address(raw[12:])).encode()
        assert probe.address_is_ipv4(raw)
    else:
        assert text == ipaddress.IPv6Address(raw).compressed.encode()
    assert probe.address_parse(text) == raw


@given(
    st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16), st.integers(0, 128), st.integers(0, 128)
)
def test_mask_and_contains_agree_with_ipaddress(one: bytes, two: bytes, prefix: int, shared: int) -> None:
    keep = (1 << 128) - (1 << (128 - shared))
    other = (int.from_bytes(one, "big") & keep) | (int.from_bytes(two, "big") & ~keep)
    two = other.to_bytes(16, "big")
    network = ipaddress.IPv6Network((one, prefix), strict=False)
    assert probe.address_mask(one, prefix) == network.network_address.packed
    assert probe.network_contains(one, prefix, two) == (ipaddress.IPv6Address(two) in network)


def test_mutated_addresses_never_read_beyond_their_end() -> None:
    rng = random.Random(7)
    seeds = [b"203.0.113.7:80", b"[2001:db8::1%eth0]:443", b"::ffff:1.2.3.4", b"1:2:3:4:5:6:7:8"]
    for _ in range(20_000):
        text = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            text[rng.randrange(len(text))] = rng.choice(b"0123456789abcdef:.%[] \x00\xff")
        probe.address_parse(bytes(text[: rng.randrange(len(text) + 1)]))
