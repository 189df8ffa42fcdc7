"""gzip messages: what comes out is bounded whatever goes in."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from ratelimitd._ext.wire import probe

TEXT = random.Random(7).randbytes(20_000) + b"a" * 20_000


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 40_000])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_round_trip_and_exact_bound(size, level):
    data = gzip.compress(TEXT[:size], level)
    assert probe.gzip_inflate(data, 1 << 20) == ("ok", TEXT[:size])
    assert probe.gzip_inflate(data, size) == ("ok", TEXT[:size])
    if size:
        assert probe.gzip_inflate(data, size - 1) == ("too_large", b"")
        assert probe.gzip_inflate(data, 0) == ("too_large", b"")


def test_a_bomb_stops_at_the_bound():
    """100 MB of zeros in 100 kB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(100)) + compressor.flush()
    assert len(bomb) < 110_000
    assert probe.gzip_inflate(bomb, 1 << 20) == ("too_large", b"")


def test_every_truncation_is_malformed():
    data = gzip.compress(TEXT[19_900:20_200])
    for size in range(len(data)):
        assert probe.gzip_inflate(data[:size], 1 << 20)[0] == "malformed"


def test_damage_is_never_ok_with_other_content():
    rng = random.Random(3)
    plain = TEXT[19_500:21_000]
    data = gzip.compress(plain, mtime=0)
    for _ in range(3000):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        result, out = probe.gzip_inflate(bytes(damaged), 10_000)
        assert out == (plain if result == "ok" else b"")


@pytest.mark.parametrize("extra", [b"\x00", b"trailing", gzip.compress(b"second member", mtime=0)])
def test_nothing_may_follow(extra):
    assert probe.gzip_inflate(gzip.compress(b"first") + extra, 1 << 20) == ("malformed", b"")


@pytest.mark.parametrize("data", [b"", b"not gzip", zlib.compress(b"zlib"), zlib.compress(b"raw")[2:-4]])
def test_other_formats_are_malformed(data):
    assert probe.gzip_inflate(data, 1 << 20)[0] == "malformed"
    assert probe.gzip_inflate(gzip.compress(b"the next one is fine"), 1 << 20)[0] == "ok"
