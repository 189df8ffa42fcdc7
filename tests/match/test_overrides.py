"""Overrides: exact, then globs in order, then the longest network of the client."""

from __future__ import annotations

import random

from ratelimitd._ext.match import probe
from ratelimitd.policy.evaluate import find_override
from ratelimitd.policy.plan import Cidr, Override, OverrideKind, Rate

MAPPED = bytes(10) + b"\xff\xff"
RATE = Rate(1, 1000)


def exact(text: bytes) -> Override:
    return Override(OverrideKind.EXACT, RATE, text)


def glob(text: bytes) -> Override:
    return Override(OverrideKind.GLOB, RATE, text)


def network(address: bytes, prefix: int) -> Override:
    return Override(OverrideKind.CIDR, RATE, cidr=Cidr(address, prefix))


def test_the_most_specific_wins() -> None:
    v4 = MAPPED + bytes([10, 0, 0, 0])
    overrides = (
        network(v4, 104),
        glob(b"gold-*"),
        glob(b"*-7"),
        exact(b"gold-7"),
        network(v4, 128),
        network(bytes(16), 0),
    )
    found = probe.Overrides(overrides)
    assert found.find(b"gold-7", v4) == 3
    assert found.find(b"gold-8", v4) == 1
    assert found.find(b"iron-7", v4) == 2
    assert found.find(b"iron-8", v4) == 4
    assert found.find(b"iron-8", MAPPED + bytes([10, 9, 9, 9])) == 0
    assert found.find(b"iron-8", MAPPED + bytes([11, 9, 9, 9])) == 5
    assert found.find(b"iron-8") == -1


def test_no_overrides_find_nothing() -> None:
    assert probe.Overrides(()).find(b"any", bytes(16)) == -1


def test_they_are_found_as_the_model_finds_them() -> None:
    seeded = random.Random(7)
    overrides = [exact(b"key-%d" % i) for i in range(0, 40, 2)]
    overrides += [glob(b"%s*%d" % (seeded.choice((b"", b"k", b"key-", b"g-")), i % 10)) for i in range(20)]
    for prefix in (0, 8, 104, 112, 120, 128) * 3:
        overrides.append(network(MAPPED + bytes([10, seeded.randrange(2), seeded.randrange(2), 1]), prefix))
    seeded.shuffle(overrides)
    found = probe.Overrides(overrides)
    for _ in range(500):
        text = seeded.choice((b"key-%d", b"g-%d", b"other-%d", b"other-%dx")) % seeded.randrange(40)
        client = MAPPED + bytes([seeded.choice((10, 11)), *(seeded.randrange(2) for _ in range(3))])
        expected = find_override(tuple(overrides), text, client)
        assert found.find(text, client) == (-1 if expected is None else expected)


def test_ten_thousand_of_each_are_found() -> None:
    tenths = [(i >> 8, i & 255) for i in range(10_000)]
    overrides = [exact(b"key-%d" % i) for i in range(10_000)]
    overrides += [glob(b"g%d-*" % i) for i in range(10_000)]
    overrides += [network(MAPPED + bytes([10, high, low, 0]), 120) for high, low in tenths]
    found = probe.Overrides(overrides)
    for i in range(0, 10_000, 37):
        high, low = tenths[i]
        assert found.find(b"key-%d" % i) == i
        assert found.find(b"g%d-any" % i) == 10_000 + i
        assert found.find(b"none", MAPPED + bytes([10, high, low, 9])) == 20_000 + i
        assert found.find(b"none", MAPPED + bytes([11, high, low, 9])) == -1
