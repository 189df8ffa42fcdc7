"""Random and crafted damage: our decoders agree with the official runtime on every message.

UTF-8 is not judged (see protobuf.h): the judge's strings are bytes.
"""

from __future__ import annotations

import random

import pytest
import wire_model as model
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd._ext.wire import probe

DOORS = {
    "envoy.service.auth.v3.CheckRequest": (probe.envoy_request, model.envoy),
    "ratelimitd.v1.CheckRequest": (probe.check_request, model.ours),
}


def judge(raw_message, name, data):
    """Asserts that a door and the official runtime see the same in data. Returns "read", "refused" or "malformed"."""
    decode, expect = DOORS[name]
    try:
        parsed = raw_message(name).FromString(data)
    except DecodeError:
        with pytest.raises(ValueError, match="well-formed"):
            decode(data)
        return "malformed"
    try:
        expected = expect(parsed)
    except model.Refused as refused:
        with pytest.raises(ValueError, match=str(refused)):
            decode(data)
        return "refused"
    assert decode(data) == expected
    return "read"


def sample(message, name):
    check = message(name)()
    headers = {f"x-header-{i}": "v" * i for i in range(6)} | {":path": "/p", "X-Upper": "", "x-request-id": "9"}
    if name.startswith("envoy"):
        check.attributes.source.address.socket_address.address = "10.0.0.1"
        check.attributes.source.address.socket_address.port_value = 443
        http = check.attributes.request.http
        http.method, http.path, http.host, http.protocol = "GET", "/a?b", "h", "HTTP/2"
        http.headers.update(headers)
        http.header_map.headers.add(key="K", raw_value=b"\xff")
        http.raw_body = b"body" * 40
        check.attributes.context_extensions.update({"ratelimitd_domain": "d", "ratelimitd_cost": "3", "a": "b"})
        check.attributes.metadata_context.filter_metadata["f"].update({"s": "x", "n": 1, "l": [True, {"o": None}]})
    else:
        check.domain, check.path, check.body, check.cost, check.dry_run = "d", "/a", b"b" * 200, 300, True
        for key, value in headers.items():
            check.headers.add(name=key, value=value.encode())
        check.attributes["a"] = "b"
    return check.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", DOORS)
def test_every_truncation(message, raw_message, name):
    data = sample(message, name)
    for size in range(len(data)):
        judge(raw_message, name, data[:size])
    assert judge(raw_message, name, data) == "read"


@pytest.mark.parametrize("name", DOORS)
def test_random_damage(message, raw_message, name):
    rng = random.Random(20240607)
    data = sample(message, name)
    seen = {"read": 0, "refused": 0, "malformed": 0}
    for _ in range(5000):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            at = rng.randrange(len(damaged))
            match rng.randrange(5):
                case 0:
                    damaged[at] ^= 1 << rng.randrange(8)
                case 1:
                    damaged[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
                case 2:
                    del damaged[at : at + rng.randrange(1, 9)]
                case 3:
                    damaged[at:at] = rng.randbytes(rng.randrange(1, 9))
                case 4:
                    other = rng.randrange(len(damaged))
                    damaged[at:at] = damaged[other : other + rng.randrange(1, 60)]
            if not damaged:
                break
        seen[judge(raw_message, name, bytes(damaged))] += 1
    assert seen["read"] > 300
    assert seen["malformed"] > 300


@pytest.mark.parametrize("name", DOORS)
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes(raw_message, name, data):
    judge(raw_message, name, data)


def length(size, width=0):
    """A varint, padded to `width` bytes."""
    out = bytearray()
    while True:
        out.append(size & 0x7F | 0x80)
        size >>= 7
        if not size and len(out) >= width:
            break
    out[-1] &= 0x7F
    return bytes(out)


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("size", [1, 127, 128, 2**14, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("width", [0, 5, 6, 10])
def test_lengths_beyond_the_end(raw_message, name, size, width):
    for field in (b"\x0a", b"\x1a", b"\x7a"):
        assert judge(raw_message, name, field + length(size, width)) == "malformed"
        judge(raw_message, name, b"\x0a" + length(len(field) + 11) + field + length(size, 10) + b"x")


@pytest.mark.parametrize("name", DOORS)
def test_padded_varints_and_tags(raw_message, name):
    for width in range(1, 12):
        judge(raw_message, name, length(0x78, width) + b"\x01")
        judge(raw_message, name, b"\x78" + length(1, width))
        judge(raw_message, name, b"\x7a" + length(1, width) + b"x")
        judge(raw_message, name, b"\x60" + length(2**64 - 1, width))
    judge(raw_message, name, b"\x78" + b"\xff" * 9 + b"\x7f")
    for tag in (0, 1, 7, 2**32 - 1, 2**32 - 6, 2**32, 2**35 - 6):
        judge(raw_message, name, length(tag) + b"\x00" * 8)


@pytest.mark.parametrize("name", DOORS)
def test_groups(raw_message, name):
    """Unknown groups are passed over; what they hold must be well-formed all the same."""
    whole = [b"", b"\x08\x01", b"\x0a\x02ab", b"\x0d1234", b"\x0912345678", b"\x13\x14"]
    for inside in [*whole, b"\x08", b"\x13", b"\x14", b"\x0a\x7f"]:
        for start, end in ((0x7B, 0x7C), (0x0B, 0x0C), (0x7B, 0x74)):
            judge(raw_message, name, bytes([start]) + inside + bytes([end]))
            judge(raw_message, name, bytes([start]) + inside)
    judge(raw_message, name, b"\x7c")


@pytest.mark.parametrize("name", DOORS)
def test_deep_nesting_is_malformed_not_a_stack_overflow(name):
    decode, _ = DOORS[name]
    fine = b"\x7b" * 90 + b"\x7c" * 90
    assert decode(b"\x0a\x04\x22\x02\x12\x00" + fine if name.startswith("envoy") else fine)
    with pytest.raises(ValueError, match="well-formed"):
        decode(b"\x7b" * 1_000_000 + b"\x7c" * 1_000_000)


@pytest.mark.parametrize("name", DOORS)
def test_many_duplicates_end_soon(name):
    """A megabyte of one attribute is refused at its 65th."""
    entry = b"\x0a\x01a\x12\x00"
    attribute = b"\x52" + length(len(entry)) + entry
    many = attribute * 150_000
    data = b"\x0a" + length(len(many)) + many if name.startswith("envoy") else many
    with pytest.raises(ValueError, match="attributes: more than 64"):
        DOORS[name][0](data)


texts = st.text(max_size=20)
names = st.text(alphabet="aAzZ-:@[0\u00e9", max_size=30)
some_names = names | st.sampled_from([":path", "host", "X-Request-ID"])
headers = st.lists(st.tuples(some_names, st.binary(max_size=10)), max_size=20)
some_keys = texts | st.sampled_from(["ratelimitd_cost", "ratelimitd_domain"])
extensions = st.dictionaries(some_keys, texts | st.just("12"), max_size=6)
six_texts = st.tuples(texts, texts, texts, texts, texts, texts)


@settings(max_examples=150, deadline=None)
@given(fields=six_texts, headers=headers, extensions=extensions, body=st.binary())
def test_any_envoy_request(message, raw_message, fields, headers, extensions, body):
    check = message("envoy.service.auth.v3.CheckRequest")()
    http = check.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme, http.protocol = fields
    for name, value in headers:
        http.header_map.headers.add(key=name, raw_value=value)
    check.attributes.context_extensions.update(extensions)
    http.raw_body = body
    assert judge(raw_message, "envoy.service.auth.v3.CheckRequest", check.SerializeToString()) != "malformed"


@settings(max_examples=150, deadline=None)
@given(
    fields=six_texts,
    headers=headers,
    attributes=st.dictionaries(texts, texts, max_size=6),
    body=st.none() | st.binary(),
    cost=st.none() | st.integers(0, 2**32 - 1),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_any_check_request(message, raw_message, fields, headers, attributes, body, cost, flags):
    check = message("ratelimitd.v1.CheckRequest")(body=body, cost=cost, attributes=attributes)
    check.domain, check.source_address, check.method, check.path, check.host, check.scheme = fields
    for name, value in headers:
        check.headers.add(name=name, value=value)
    check.partial_body, check.dry_run, check.explain = flags
    assert judge(raw_message, "ratelimitd.v1.CheckRequest", check.SerializeToString()) != "malformed"
