"""Content codings: what was put on is taken off, within limits; what is broken is told."""

from __future__ import annotations

import ctypes
import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from ratelimitd._ext.bytes import probe

from .mutation import mutate

OK, TOO_LARGE, RATIO, BROKEN, CUT, UNKNOWN = 0, -1, -2, -3, -4, -5
TEXT = b"".join(b"%d bottles " % i for i in range(300))
RAW = zlib.compressobj(wbits=-15)
DEFLATED = RAW.compress(TEXT) + RAW.flush()


@pytest.fixture
def inflater() -> probe.Inflater:
    return probe.Inflater()


def stored_brotli(text: bytes) -> bytes:
    """A br stream that only stores (RFC 7932 section 9.2): window, one uncompressed block, an empty last block."""
    bits = 0b0 | 0 << 1 | 0b00 << 2 | (len(text) - 1) << 4 | 1 << 20
    return bits.to_bytes(3, "little") + text + b"\x03"


def brotli(text: bytes) -> bytes:
    """The text as libbrotlienc, which comes with libbrotli-dev, compresses it: quality 9, window 22, mode 0."""
    out = ctypes.create_string_buffer(len(text) + 1000)
    size = ctypes.c_size_t(len(out))
    encode = ctypes.CDLL("libbrotlienc.so.1").BrotliEncoderCompress
    encode.argtypes = [*[ctypes.c_int] * 3, ctypes.c_size_t, *[ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p]]
    assert encode(9, 22, 0, len(text), text, ctypes.byref(size), out)
    return out.raw[: size.value]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(TEXT, mtime=0)),
        (b"br", brotli(TEXT)),
        (b"x-gzip", gzip.compress(TEXT[:1000], mtime=0) + gzip.compress(TEXT[1000:], mtime=0)),
        (b"Deflate", zlib.compress(TEXT)),
        (b"deflate", DEFLATED),
        (b"br", stored_brotli(TEXT)),
        (b" identity ,, GZIP\t, br", stored_brotli(gzip.compress(TEXT, mtime=0))),
        (b"br, deflate, gzip", gzip.compress(zlib.compress(stored_brotli(TEXT)))),
        (b"", TEXT),
        (b"identity", TEXT),
    ],
)
def test_codings_are_taken_off(inflater: probe.Inflater, encoding: bytes, body: bytes) -> None:
    for _ in range(3):  # the same decoders again
        assert inflater.read(encoding, body) == (OK, TEXT)


@pytest.mark.parametrize("encoding", [b"zstd", b"compress", b"gzip, x", b"gzip, gzip, gzip, gzip", b"gzip;q=1"])
def test_other_codings_are_unknown(inflater: probe.Inflater, encoding: bytes) -> None:
    assert inflater.read(encoding, gzip.compress(TEXT)) == (UNKNOWN, b"")


def test_an_empty_body_is_empty_in_every_coding(inflater: probe.Inflater) -> None:
    assert inflater.read(b"gzip", b"") == (OK, b"")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [(b"gzip", gzip.compress(TEXT, mtime=0)), (b"deflate", zlib.compress(TEXT)), (b"br", stored_brotli(TEXT))],
)
def test_a_limit_is_a_limit_to_the_byte(inflater: probe.Inflater, encoding: bytes, body: bytes) -> None:
    assert inflater.read(encoding, body, len(TEXT)) == (OK, TEXT)
    assert inflater.read(encoding, body, len(TEXT) - 1) == (TOO_LARGE, TEXT[:-1])


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_bombs_meet_the_ratio(inflater: probe.Inflater, encoding: bytes, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(b"\0" * 10_000_000)
    status, out = inflater.read(encoding, bomb, 1 << 20, 50)
    assert (status, len(out)) == (RATIO, 50 * len(bomb))
    assert inflater.read(encoding, bomb, 1 << 18, 50)[0] == TOO_LARGE


def test_a_small_bomb_may_grow_to_what_is_free(inflater: probe.Inflater) -> None:
    status, out = inflater.read(b"br", brotli(b"\0" * 10_000_000), 1 << 20, 50)
    assert (status, len(out)) == (RATIO, 1 << 16)


def test_bombs_in_bombs_meet_the_limit(inflater: probe.Inflater) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 100_000_000))
    assert inflater.read(b"gzip, gzip", bomb)[0] in (TOO_LARGE, RATIO)


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        (b"gzip", gzip.compress(TEXT, mtime=0)[:-9], CUT),
        (b"gzip", gzip.compress(TEXT, mtime=0)[:5], CUT),
        (b"deflate", zlib.compress(TEXT)[:-5], CUT),
        (b"br", stored_brotli(TEXT)[:-1], CUT),
        (b"gzip", gzip.compress(TEXT, mtime=0) + b"behind", BROKEN),
        (b"deflate", zlib.compress(TEXT) + b"behind", BROKEN),
        (b"br", stored_brotli(TEXT) + b"behind", BROKEN),
        (b"gzip", gzip.compress(TEXT, mtime=0)[:-8] + bytes(8), BROKEN),
        (b"gzip", TEXT, BROKEN),
        (b"br", b"\xff" * 20, BROKEN),
    ],
)
def test_what_is_wrong_is_told(inflater: probe.Inflater, encoding: bytes, body: bytes, status: int) -> None:
    found, out = inflater.read(encoding, body)
    assert found == status
    assert TEXT.startswith(out)


def test_mutated_bodies_do_no_harm(inflater: probe.Inflater) -> None:
    """What is accepted is what zlib makes of it."""
    chance = random.Random(9)
    bodies = {b"gzip": gzip.compress(TEXT), b"deflate": zlib.compress(TEXT), b"br": stored_brotli(TEXT)}
    tokens = [b"\x1f\x8b\x08\0", b"\0", b"\xff\xff", b"\x78\x9c", b"\x03"]
    for _ in range(3000):
        encoding = chance.choice(list(bodies))
        body = mutate(chance, bodies[encoding], tokens)
        status, out = inflater.read(encoding, body)
        assert status in (OK, RATIO, BROKEN, CUT)
        if status == OK and encoding == b"gzip" and body:
            assert out == gzip.decompress(body)
    for encoding, body in bodies.items():
        assert inflater.read(encoding, body) == (OK, TEXT)
