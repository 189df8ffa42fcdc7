"""The multipart reader: well-formed bodies are read, what readers disagree on is told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd._ext.bytes import probe

BOUNDARY = b"XbX"


def part(name: bytes, content: bytes, filename: bytes | None = None) -> bytes:
    file = b"" if filename is None else b'; filename="' + filename + b'"\r\nContent-Type: image/png'
    return (
        b"--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="'
        + name
        + b'"'
        + file
        + b"\r\n\r\n"
        + content
        + b"\r\n"
    )


CLOSE = b"--" + BOUNDARY + b"--\r\n"


def read(body: bytes) -> tuple[list[tuple[bytes, bytes]], int, bool]:
    parts, status, doubtful = probe.multipart_parts(body, BOUNDARY)
    return [(p["name"], p["content"]) for p in parts], status, doubtful


def test_fields_and_files_are_read() -> None:
    body = part(b"a", b"1") + part(b"f", b"\x89PNG\r\n\r\n--Xb", b"x.png") + part(b"e", b"") + CLOSE
    parts, status, doubtful = probe.multipart_parts(body, BOUNDARY)
    assert [(p["name"], p["content"], p["filename"], p["is_file"]) for p in parts] == [
        (b"a", b"1", b"", False),
        (b"f", b"\x89PNG\r\n\r\n--Xb", b"x.png", True),
        (b"e", b"", b"", False),
    ]
    assert (status, doubtful) == (0, False)


NAMES = st.text(alphabet="abc[]%_ ", max_size=5).map(str.encode)
CONTENTS = st.lists(
    st.sampled_from([b"a", b"\r\n", b"\n", b"\r", b"--", b"-", b"XbX", b"--Xb", b"\x00"]), max_size=6
).map(b"".join)


@given(st.lists(st.tuples(NAMES, CONTENTS.filter(lambda c: BOUNDARY not in c)), min_size=1, max_size=4))
def test_what_was_written_is_read_back(pairs: list[tuple[bytes, bytes]]) -> None:
    body = b"".join(part(name, content) for name, content in pairs) + CLOSE
    assert read(body) == (pairs, 0, False)


@pytest.mark.parametrize(
    "body",
    [
        b"preamble\r\n" + part(b"a", b"1") + CLOSE,
        part(b"a", b"1") + CLOSE + b"epilogue",
        part(b"a", b"1").replace(b"\r\n", b"\n") + CLOSE,
        part(b"a", b"x\r\n--XbXtra") + CLOSE,
        part(b'a"; name="b', b"1") + CLOSE,
        part(b"a", b"1", b'x"; filename="y') + CLOSE,
        part(b"a", b"1").replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + CLOSE,
        part(b"a", b"1").replace(b"; name", b";\r\n name") + CLOSE,
        part(b"a", b"1").replace(b"\r\n\r\n", b'\r\nContent-Disposition: form-data; name="b"\r\n\r\n') + CLOSE,
        part(b"a", b"1").replace(b"Content-Disposition:", b"Content-Disposition :") + CLOSE,
        part(b"a", b"1").replace(b"name", b"nome") + CLOSE,
        part(b"a", b"1").replace(b"Content-Disposition:", b"Content-Disposition") + CLOSE,
        b"--XbX junk\r\n" + part(b"a", b"1") + CLOSE,
    ],
)
def test_what_readers_disagree_on_is_told(body: bytes) -> None:
    parts, status, doubtful = read(body)
    assert doubtful
    assert status == 0
    assert parts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--",
        b"nothing",
        b"--XbX",
        b"--XbX\r\n",
        part(b"a", b"1"),
        part(b"a", b"1")[:-20],
        part(b"a", b"1") + b"--XbX",
    ],
)
def test_a_body_that_does_not_end_is_malformed(body: bytes) -> None:
    assert read(body)[1] == -1


def test_a_filename_star_is_given() -> None:
    body = part(b"a", b"1", b"x").replace(b'filename="x"', b"filename*=UTF-8''%3Cx%3E") + CLOSE
    [found], _, doubtful = probe.multipart_parts(body, BOUNDARY)
    assert (found["filename_star"], found["is_file"], doubtful) == (b"UTF-8''%3Cx%3E", True, False)


@pytest.mark.parametrize(
    ("content_type", "answer"),
    [
        (b"multipart/form-data; boundary=abc", (1, b"abc")),
        (b'multipart/form-data; charset=x; Boundary="a b;c"', (1, b"a b;c")),
        (b"multipart/form-data; boundary=a; boundary=b", (-1, b"a")),
        (b"multipart/form-data", (0, b"")),
        (b"multipart/form-data; boundary=", (0, b"")),
        (b"multipart/form-data; boundary=" + b"x" * 201, (0, b"x" * 201)),
        (b"", (0, b"")),
    ],
)
def test_the_boundary_is_found(content_type: bytes, answer: tuple[int, bytes]) -> None:
    assert probe.multipart_boundary(content_type) == answer


def test_mutated_bodies_stay_within_bounds() -> None:
    rng = random.Random(5)
    seed = part(b"a", b"1\r\n-") + part(b"f", b"x", b"n") + CLOSE
    for _ in range(20_000):
        body = bytearray(seed)
        for _ in range(rng.randrange(1, 6)):
            body[rng.randrange(len(body))] = rng.choice(b'\r\n-Xb:;="\\ \x00a')
        begin = rng.randrange(3)
        parts, status, _ = read(bytes(body[begin : rng.randrange(len(body) + 1)]))
        assert status in (0, -1)
        assert sum(len(content) for _, content in parts) <= len(body)
        probe.multipart_boundary(bytes(body[rng.randrange(20) : rng.randrange(60)]))
