"""wire/http2 and wire/grpc as bytes in, bytes out."""

from __future__ import annotations

import random

import pytest
from hpack import Encoder
from http2_peer import CHECK, PREFACE, framed
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from ratelimitd._ext.wire.http2_probe import Session, is_grpc_content_type, parse_timeout, percent_encode

REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"


def frames_of(data: bytes) -> list[Frame]:
    """Everything we send is whole, well-formed frames."""
    frames = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        assert len(data) >= 9 + length
        frame.parse_body(memoryview(data[9 : 9 + length]))
        frames.append(frame)
        data = data[9 + length :]
    return frames


def call(encoder: Encoder, stream: int, body: bytes, path: str = CHECK, *, end: bool = True) -> list[Frame]:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
    fields += [("content-type", "application/grpc"), ("grpc-timeout", "1S"), ("grpc-encoding", "gzip")]
    headers = HeadersFrame(stream, data=encoder.encode(fields), flags=["END_HEADERS"])
    return [headers, DataFrame(stream, data=body, flags=["END_STREAM"] if end else [])]


def conversation() -> list[Frame]:
    """Some of everything."""
    encoder = Encoder()
    frames: list[Frame] = [SettingsFrame(0, settings={4: 20}), PingFrame(0, opaque_data=b"12345678")]
    frames += call(encoder, 1, framed(b"hello"))
    frames += call(encoder, 3, framed(b"fail"))
    frames += call(encoder, 5, framed(b"a" * 999))
    frames += call(encoder, 7, framed(b"a" * 1001))
    frames += call(encoder, 9, framed(b"one") * 3 + b"\0\0", REFLECTION, end=False)
    frames += call(encoder, 11, framed(b""), WATCH)
    frames += call(encoder, 13, b"\1" + framed(b"not gzip")[1:])
    frames += call(encoder, 15, framed(b"cut")[:-1])
    frames += call(encoder, 17, b"", "/unknown")
    frames += [DataFrame(9, data=framed(b"two")[2:], flags=["END_STREAM"]), RstStreamFrame(11, error_code=8)]
    frames += [WindowUpdateFrame(0, window_increment=100_000), WindowUpdateFrame(5, window_increment=2000)]
    return frames


@pytest.mark.parametrize("size", [1, 2, 7, 100, 1 << 20])
@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_the_cut_of_reads_and_writes_changes_nothing(size, limit):
    """Byte by byte or at once, the same messages come out and the same answers go back."""
    data = PREFACE + b"".join(f.serialize() for f in conversation())
    session = Session()
    out = b""
    for i in range(0, len(data), size):
        session.recv(data[i : i + size])
        more = True
        while more:
            written, more = session.send(limit)
            out += written
    bodies: dict[int, bytes] = {}
    for frame in frames_of(out):
        if isinstance(frame, DataFrame):
            bodies[frame.stream_id] = bodies.get(frame.stream_id, b"") + frame.data
    assert session.messages() == 8
    assert bodies[1] == framed(b"hello")
    assert bodies[5] == framed(b"a" * 999)
    assert (framed(b"one") * 3)[:20] == bodies[9]  # as far as the window of 20 bytes goes
    assert session.abuse() == [0, 0, 0, 0, 1, 1, 0]
    assert session.close() == 0


def test_any_garbage_is_survived():
    """Mutated conversations, cut anywhere, with timeouts and shutdowns between: whole frames come back."""
    seeded = random.Random(2026)
    for _ in range(1500):
        frames = [f.serialize() for f in conversation()]
        kind = seeded.randrange(4)
        if kind == 0:
            seeded.shuffle(frames)
        if kind == 1:
            frames = [f for f in frames for _ in range(seeded.randrange(3))]
        data = bytearray(PREFACE + b"".join(frames))
        for _ in range(seeded.choice([0, 1, 1, 5, 50])):
            data[seeded.randrange(24, len(data))] = seeded.randrange(256)
        session = Session(max_streams=seeded.choice([1, 3, 16]))
        at = now = 1
        at = 0
        while at < len(data) and not session.finished():
            size = seeded.choice([1, 9, 50, 500, 5000])
            now += seeded.randrange(1000)
            session.recv(bytes(data[at : at + size]), now)
            at += size
            action = seeded.randrange(12)
            if action == 0:
                session.expire(now, 5000)
            elif action == 1:
                session.begin_shutdown()
            elif action == 2:
                session.finish_shutdown()
            out, _ = session.send(seeded.choice([1, 100, 1 << 20]), now)
            frames_of(out)
        assert session.close() == 0


def test_timeouts():
    """At most eight digits and a unit (PROTOCOL-HTTP2.md); long ones are cut at 200 years."""
    assert parse_timeout(b"1n") == 1
    assert parse_timeout(b"20m") == 20_000_000
    assert parse_timeout(b"99999999u") == 99_999_999_000
    assert parse_timeout(b"3S") == 3 * 10**9
    assert parse_timeout(b"2M") == 120 * 10**9
    assert parse_timeout(b"1H") == 3600 * 10**9
    assert parse_timeout(b"0S") == 0
    assert parse_timeout(b"99999999H") == parse_timeout(b"88888888H") == 200 * 365 * 86400 * 10**9
    for bad in (b"", b"1", b"S", b"-1S", b"1s", b"1 S", b"123456789S", b"1.5S", b"\0S", b"1S\0"):
        assert parse_timeout(bad) == -1


def test_content_types():
    for good in (b"application/grpc", b"application/grpc+proto", b"APPLICATION/GRPC;x", b"application/grpc ; x"):
        assert is_grpc_content_type(good)
    for bad in (b"", b"application/grp", b"application/grpcx", b"application/grpc+protox", b"application/grpc-web"):
        assert not is_grpc_content_type(bad)


def test_percent_encoding():
    """Printable ASCII but for '%' as it is; never half an escape."""
    assert percent_encode(b"plain text!") == b"plain text!"
    assert percent_encode("50% é\n".encode()) == b"50%25 %C3%A9%0A"
    assert percent_encode(b"\xff" * 3, 8) == b"%FF%FF"
    assert percent_encode(b"abc", 0) == b""
