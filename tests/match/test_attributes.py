"""Attributes: the client behind proxies, hosts, paths, queries, cookies; and that views stay where they are."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.match import probe
from ratelimitd.policy.plan import Cidr, Client, Source
from ratelimitd.policy.request import Request
from ratelimitd.policy.values import client_address, get

MAPPED = bytes(10) + b"\xff\xff"
TEN = Cidr(MAPPED + b"\x0a\0\0\0", 104)
TRUSTING = Client(trusted=(TEN,))


def client_of(client: Client, peer: bytes, *lines: bytes, header: bytes = b"x-forwarded-for") -> bytes | None:
    request = Request(source_address=peer, headers=tuple((header, line) for line in lines))
    attributes = probe.Attributes()
    attributes.reset(request, client)
    return attributes.get(Source.CLIENT_IP)


@pytest.mark.parametrize(
    ("client", "peer", "lines", "expected"),
    [
        (Client(), b"10.0.0.1", [b"1.1.1.1"], b"10.0.0.1"),
        (TRUSTING, b"10.0.0.1", [b"1.1.1.1"], b"1.1.1.1"),
        (TRUSTING, b"192.0.2.1", [b"1.1.1.1"], b"192.0.2.1"),
        (TRUSTING, b"10.0.0.1", [b"6.6.6.6, 1.1.1.1, 10.0.0.3, 10.0.0.2"], b"1.1.1.1"),
        (TRUSTING, b"10.0.0.1", [b"6.6.6.6", b"1.1.1.1", b"10.0.0.3 ,10.0.0.2"], b"1.1.1.1"),
        (TRUSTING, b"10.0.0.1", [b"10.0.0.9, 10.0.0.8"], b"10.0.0.9"),
        (TRUSTING, b"10.0.0.1", [b"6.6.6.6, unknown, 10.0.0.2"], b"10.0.0.2"),
        (TRUSTING, b"10.0.0.1", [b"6.6.6.6, 1.1.1.1,,  ,"], b"1.1.1.1"),
        (TRUSTING, b"10.0.0.1", [b"nonsense"], b"10.0.0.1"),
        (TRUSTING, b"10.0.0.1:4711", [b"[2001:db8::1]:443"], b"2001:db8::"),
        (TRUSTING, b"", [b"1.1.1.1"], None),
        (TRUSTING, b"pipe", [], None),
        (Client(hops=1), b"192.0.2.1", [b"6.6.6.6, 1.1.1.1"], b"1.1.1.1"),
        (Client(hops=2), b"192.0.2.1", [b"6.6.6.6, 1.1.1.1, 10.0.0.1"], b"1.1.1.1"),
        (Client(hops=2), b"192.0.2.1", [b"6.6.6.6", b"1.1.1.1", b"10.0.0.1"], b"1.1.1.1"),
        (Client(hops=5), b"192.0.2.1", [b"6.6.6.6, 1.1.1.1"], b"6.6.6.6"),
        (Client(hops=2), b"192.0.2.1", [], b"192.0.2.1"),
        (Client(hops=2), b"192.0.2.1", [b"1.1.1.1, bad"], b"192.0.2.1"),
        (Client(hops=2), b"", [b"1.1.1.1, 2.2.2.2"], b"1.1.1.1"),
        (Client(ipv4_prefix=24), b"192.0.2.77", [], b"192.0.2.0"),
        (Client(ipv6_prefix=48), b"2001:db8:1:2::7", [], b"2001:db8:1::"),
    ],
)
def test_the_client_behind_proxies(client: Client, peer: bytes, lines: list[bytes], expected: bytes | None) -> None:
    assert client_of(client, peer, *lines) == expected


def test_a_header_of_one_value_is_one_step() -> None:
    cloudflare = Client(trusted=(TEN,), header=b"cf-connecting-ip")
    header = b"cf-connecting-ip"
    assert client_of(cloudflare, b"10.0.0.1", b"10.0.0.5", header=header) == b"10.0.0.5"
    assert client_of(cloudflare, b"10.0.0.1", b"6.6.6.6, 10.0.0.5", header=header) == b"10.0.0.5"
    assert client_of(cloudflare, b"192.0.2.1", b"1.1.1.1", header=header) == b"192.0.2.1"
    assert client_of(Client(hops=1, header=header), b"192.0.2.1", b"1.1.1.1", header=header) == b"1.1.1.1"


def test_a_long_chain_is_walked_for_64_entries_only() -> None:
    chain = b",".join([b"6.6.6.6"] + [b"10.0.%d.%d" % divmod(i, 256) for i in range(5000)])
    assert client_of(TRUSTING, b"10.0.0.1", chain) == b"10.0.%d.%d" % divmod(5000 - 64, 256)
    assert client_of(Client(hops=2**32 - 1), b"10.0.0.1", chain) == b"10.0.%d.%d" % divmod(5000 - 64, 256)
    assert client_of(TRUSTING, b"10.0.0.1", b"6.6.6.6" + b"," * 5000) == b"10.0.0.1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"Shop.Example.COM", b"shop.example.com"),
        (b"shop.example.com:8443", b"shop.example.com"),
        (b"shop.example.com.", b"shop.example.com"),
        (b"shop.example.com.:80", b"shop.example.com"),
        (b"[2001:DB8::1]:443", b"[2001:db8::1]"),
        (b"[2001:db8::1]", b"[2001:db8::1]"),
        (b"2001:db8::1", b"2001:db8::1"),
        (b"[::1", b"[::1"),
        (b":80", None),
        (b".", None),
        (b"", None),
    ],
)
def test_a_host_is_lower_case_without_port_and_dot(host: bytes, expected: bytes | None) -> None:
    attributes = probe.Attributes()
    attributes.reset(Request(host=host), Client())
    assert attributes.get(Source.HOST) == expected


def test_the_first_value_of_a_name_counts_however_many_there_are() -> None:
    seeded = random.Random(3)
    for count in (1, 15, 16, 17, 18, 300, 5000):
        names = [b"n%d" % seeded.randrange(count) for _ in range(count)]
        query = b"&".join(b"%s=%d" % (name, i) for i, name in enumerate(names))
        cookies = ((b"cookie", query.replace(b"&", b";")), (b"cookie", b"last=1; n0=no"))
        request = Request(path=b"/?" + query, headers=cookies)
        attributes = probe.Attributes()
        attributes.reset(request, Client())
        for name in [*seeded.choices(names, k=5), b"n0", b"none", b"", b"last"]:
            for source in (Source.QUERY, Source.COOKIE):
                assert attributes.get(source, name) == get(request, Client(), source, name)


def test_values_stay_where_they_are_and_memory_is_reused() -> None:
    attributes = probe.Attributes()
    request = Request(
        path=b"/a/./b%20c?" + b"&".join(b"k%d=%%41" % i for i in range(500)),
        host=b"UPPER.example",
        source_address=b"192.0.2.1",
        headers=((b"cookie", b";".join(b"c%d=1" % i for i in range(500))),),
    )
    seen = set()
    for _ in range(3):
        attributes.reset(request, Client())
        path, host = attributes.where(Source.PATH), attributes.where(Source.HOST)
        first = attributes.where(Source.QUERY, b"k0")
        attributes.get(Source.COOKIE, b"c1")
        attributes.get(Source.CLIENT_IP)
        assert (attributes.where(Source.PATH), attributes.where(Source.HOST)) == (path, host)
        assert attributes.where(Source.QUERY, b"k0") == first
        seen.add((path, host, first))
    assert len(seen) == 1


def test_mutated_requests_are_read_as_the_model_reads_them() -> None:
    """Every text lies in a block of its size: under a sanitizer no byte beyond it is read."""
    seeded = random.Random(11)
    seeds = [
        Request(b"GET", b"/a/../%2e%2e/b//c?x=%41&y=1+2#f", b"Host.example.:80", b"https", (), b"10.0.0.1"),
        Request(
            b"POST",
            b"http://h:1/p?q",
            b"[::1]:443",
            b"",
            ((b"x-forwarded-for", b"1.1.1.1, [::1]:2,10.0.0.2"), (b"cookie", b"a=1; b=2;;c")),
            b"[::ffff:10.0.0.1]:1",
        ),
    ]
    attributes = probe.Attributes()
    for _ in range(3000):
        seed = seeded.choice(seeds)
        request = Request(
            seed.method,
            mutate(seeded, seed.path),
            mutate(seeded, seed.host),
            seed.scheme,
            tuple((name, mutate(seeded, value)) for name, value in seed.headers),
            mutate(seeded, seed.source_address),
        )
        attributes.reset(request, TRUSTING)
        for source in (Source.CLIENT_IP, Source.HOST, Source.PATH, Source.RAW_PATH):
            assert attributes.get(source) == get(request, TRUSTING, source)
        for source, name in ((Source.QUERY, b"x"), (Source.QUERY, b"q"), (Source.COOKIE, b"b"), (Source.COOKIE, b"c")):
            assert attributes.get(source, name) == get(request, TRUSTING, source, name)
        assert attributes.client() == client_address(request, TRUSTING)


def mutate(seeded: random.Random, text: bytes) -> bytes:
    out = bytearray(text)
    for _ in range(seeded.randrange(4)):
        at = seeded.randrange(len(out) + 1)
        out[at : at + seeded.randrange(3)] = seeded.choice(
            (b"", b"%", b"/", b".", b"]", b"[", b",", b":", b"=", b"\xff", b"0")
        )
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def test_an_attribute_may_lie_in_the_metadata():
    """An attribute of the request's own comes first; only names that begin with metadata. are looked up."""
    value = _field(2, _field(3, b"ada"))
    metadata = _field(1, _field(1, b"jwt") + _field(2, _field(1, _field(1, b"sub") + value)))
    attributes = probe.Attributes()
    attributes.reset(Request(attributes=((b"metadata.jwt.own", b"1"),)), Client(), metadata)
    assert attributes.get(Source.ATTRIBUTE, b"metadata.jwt.sub") == b"ada"
    assert attributes.get(Source.ATTRIBUTE, b"metadata.jwt.own") == b"1"
    for name in (b"jwt.sub", b"metadata.", b"metadata.jwt", b"metadata.jwt.no", b"metadata"):
        assert attributes.get(Source.ATTRIBUTE, name) is None
    attributes.reset(Request(attributes=((b"metadata.jwt.sub", b"eve"),)), Client(), metadata)
    assert attributes.get(Source.ATTRIBUTE, b"metadata.jwt.sub") == b"eve"
    number = _field(2, b"\x11" + bytes(8))
    attributes.reset(Request(), Client(), _field(1, _field(1, b"f") + _field(2, _field(1, _field(1, b"n") + number))))
    assert [attributes.get(Source.ATTRIBUTE, b"metadata.f.n") for _ in range(3)] == [b"0"] * 3
