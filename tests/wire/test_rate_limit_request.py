"""decode_rate_limit against messages that the official runtime made."""

from __future__ import annotations

import contextlib
import random
import re

import pytest
from google.protobuf import json_format

from ratelimitd._ext.wire import probe


@pytest.fixture
def request_class(message):
    return message("envoy.service.ratelimit.v3.RateLimitRequest")


@pytest.fixture
def call(request_class):
    made = request_class(domain="d")
    descriptor = made.descriptors.add()
    descriptor.entries.add(key="a", value="1")
    return made


def decode(call):
    return probe.rate_limit_request(call.SerializeToString())


def descriptor(*entries, hits=1, address=b"", limit=0, window_ms=0, refund=False):
    keys = b"|".join(key for key, _ in entries)
    names = [(b"descriptor." + key, value) for key, value in entries]
    return {
        "attributes": [*names, (b"descriptor", keys)],
        "hits": hits,
        "address": address,
        "limit": limit,
        "window_ms": window_ms,
        "refund": refund,
    }


def test_entries_are_attributes(call):
    second = call.descriptors.add()
    second.entries.add(key="remote_address", value="203.0.113.7")
    second.entries.add(key="empty")
    second.hits_addend.value = 0
    second.limit.requests_per_unit = 7
    second.limit.unit = 2
    call.descriptors.add().is_negative_hits = True
    call.hits_addend = 3
    assert decode(call) == {
        "domain": b"d",
        "descriptors": [
            descriptor((b"a", b"1"), hits=3),
            descriptor(
                (b"remote_address", b"203.0.113.7"),
                (b"empty", b""),
                hits=0,
                address=b"203.0.113.7",
                limit=7,
                window_ms=60_000,
            ),
            descriptor(hits=3, refund=True),
        ],
    }


def test_equal_keys_are_numbered_and_special_characters_escaped(call):
    for key in ("a", "a|b#%", "a", "a#2", "ab"):
        call.descriptors[0].entries.add(key=key, value=key)
    attributes = decode(call)["descriptors"][0]["attributes"]
    assert attributes == [
        (b"descriptor.a", b"1"),
        (b"descriptor.a#2", b"a"),
        (b"descriptor.a%7Cb%23%25", b"a|b#%"),
        (b"descriptor.a#3", b"a"),
        (b"descriptor.a%232", b"a#2"),
        (b"descriptor.ab", b"ab"),
        (b"descriptor", b"a|a|a%7Cb%23%25|a|a%232|ab"),
    ]


@pytest.mark.parametrize(
    ("unit", "window_ms"),
    [(1, 1000), (2, 60_000), (3, 3_600_000), (4, 86_400_000), (5, 2_592_000_000), (7, 604_800_000)],
)
def test_units(call, unit, window_ms):
    call.descriptors[0].limit.unit = unit
    assert decode(call)["descriptors"][0]["window_ms"] == window_ms


def bad(change):
    return pytest.param(change, id=change.__name__)


def too_many_descriptors(call):
    for _ in range(32):
        call.descriptors.add().entries.add(key="a", value="1")
    return "descriptors: more than 32"


def too_many_entries(call):
    for _ in range(32):
        call.descriptors[0].entries.add(key="a", value="1")
    return "descriptors[0].entries: more than 32"


def too_many_entries_in_all(call):
    for _ in range(8):
        more = call.descriptors.add()
        for _ in range(32):
            more.entries.add(key="a", value="1")
    return "descriptors: more than 256 entries in all"


def an_empty_key(call):
    call.descriptors.add().entries.add(key="", value="1")
    return "descriptors[1].entries[0].key: must not be empty"


def a_long_key(call):
    call.descriptors[0].entries.add(key="a" * 257)
    return "descriptors[0].entries[1].key: longer than 256 bytes"


def a_long_value(call):
    call.descriptors[0].entries.add(key="a", value="a" * 4097)
    return "descriptors[0].entries[1].value: longer than 4096 bytes"


def too_many_hits(call):
    call.descriptors[0].hits_addend.value = 2**32
    return "descriptors[0].hits_addend: must be a whole number from 0 to 4294967295"


def another_unit(call):
    call.descriptors[0].limit.unit = 8
    return "descriptors[0].limit.unit: must be SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR"


def no_unit(call):
    call.descriptors[0].limit.requests_per_unit = 6
    return another_unit(call)


def no_domain(call):
    call.domain = ""
    return "domain: must not be empty"


def no_descriptors(call):
    del call.descriptors[:]
    return "descriptors: must not be empty"


def too_large(call):
    for _ in range(31):
        call.descriptors.add().entries.add(key="a", value="a" * 4096)
    call.descriptors[0].entries.add(key="a", value="a" * 4096)
    return "RateLimitRequest is larger than 128 KiB"


@pytest.mark.parametrize(
    "change",
    [
        bad(change)
        for change in (
            too_many_descriptors,
            too_many_entries,
            too_many_entries_in_all,
            an_empty_key,
            a_long_key,
            a_long_value,
            too_many_hits,
            another_unit,
            no_unit,
            no_domain,
            no_descriptors,
            too_large,
        )
    ],
)
def test_what_is_not_served_is_refused_by_the_name_of_its_field(call, change):
    said = change(call)
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        decode(call)
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        probe.rate_limit_request(json_format.MessageToJson(call).encode(), json=True)


def test_as_much_as_may_be(request_class):
    call = request_class(domain="d")
    for number in range(8):
        made = call.descriptors.add()
        for entry in range(32):
            made.entries.add(key=("|" * 250 if number == 0 else "#") + str(entry), value="v" * 300)
    found = decode(call)["descriptors"]
    assert [len(d["attributes"]) for d in found] == [33] * 8
    assert found[0]["attributes"][-1][1].startswith(b"%7C" * 250 + b"0|")


def some_more(call):
    for _ in range(3):
        more = call.descriptors.add()
        for index in range(4):
            more.entries.add(key=f"k{index}", value="v" * index)
        more.limit.unit = 1
        more.hits_addend.value = 9
    return call


def test_json_says_the_same(call):
    texts = ["", "a|b#%", "\u00fc\u20ac\U0001f600", '"\\\n\x01/', "a" * 256]
    for unit, text in enumerate(texts, 1):
        more = some_more(call).descriptors.add(is_negative_hits=unit % 2 == 0)
        more.entries.add(key=text or "k", value=text)
        more.entries.add(key="remote_address", value="203.0.113.7")
        more.limit.unit = [1, 2, 6, 4, 7][unit - 1]
        more.limit.requests_per_unit = unit
        more.hits_addend.value = unit - 1
    call.hits_addend = 7
    for options in (
        {},
        {"preserving_proto_field_name": True},
        {"use_integers_for_enums": True},
        {"ensure_ascii": False},
    ):
        text = json_format.MessageToJson(call, **options)
        assert probe.rate_limit_request(text.encode(), json=True) == decode(call)
    nothing = b'{"domain": "d", "hitsAddend": null, "descriptors": [{"limit": null, "hits_addend": null}]}'
    assert probe.rate_limit_request(nothing, json=True)["descriptors"] == [descriptor()]


@pytest.mark.parametrize("json", [False, True])
def test_mutations_never_break_it(call, json):
    rng = random.Random(5)
    some_more(call)
    whole = json_format.MessageToJson(call, indent=None).encode() if json else call.SerializeToString()
    for _ in range(3000):
        bytes_ = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        cut = bytes(bytes_ if json else bytes_[: rng.randrange(len(bytes_) + 1)])
        with contextlib.suppress(ValueError):
            assert probe.rate_limit_request(cut, json=json)["descriptors"]
