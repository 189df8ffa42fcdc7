"""multipart/form-data: arguments, files, flags and errors are libmodsecurity's; work is bounded."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.bytes import probe

from .modsecurity import ModSecurity, Values, single
from .mutation import mutate

FLAGS = [
    *("STRICT_ERROR", "UNMATCHED_BOUNDARY", "BOUNDARY_QUOTED", "BOUNDARY_WHITESPACE", "DATA_BEFORE", "DATA_AFTER"),
    *("HEADER_FOLDING", "LF_LINE", "CRLF_LF_LINES", "SEMICOLON_MISSING", "INVALID_QUOTING", "INVALID_PART"),
    "INVALID_HEADER_FOLDING",
]
COLLECTIONS = [
    *("ARGS_POST", "ARGS_NAMES", "FILES", "FILES_NAMES", "FILES_SIZES", "MULTIPART_NAME", "MULTIPART_FILENAME"),
    "MULTIPART_PART_HEADERS",
]
VARIABLES = [
    *COLLECTIONS,
    *("FILES_COMBINED_SIZE", "REQBODY_ERROR", "REQBODY_ERROR_MSG"),
    *(f"MULTIPART_{flag}" for flag in FLAGS),
]
TYPE = b"multipart/form-data; boundary=B-b"
DISPOSITION = b"Content-Disposition: form-data; "


def part(header: bytes, content: bytes) -> bytes:
    return b"--B-b\r\n" + header + b"\r\n\r\n" + content + b"\r\n"


CLOSE = b"--B-b--\r\n"
BODIES = [
    part(DISPOSITION + b'name="a"', b"1")
    + part(DISPOSITION + b'name="b"', b"x\r\ny\nz\r\n")
    + part(DISPOSITION + b'name="f"; filename="x.txt"\r\nContent-Type: text/plain', b"ab\r\ncd")
    + CLOSE,
    part(DISPOSITION + b'name="a"; filename="q"; filename*=UTF-8\'en\'na%20me', b"") + CLOSE,
    part(DISPOSITION + b'name="a"\r\nX:y\r\n folded\r\n\t more\r\nX: again\r\n last', b"1") + CLOSE[:-2],
    part(DISPOSITION + b'name="a\\"b\\\\c\\d"; filename=\'q\'', b"--C\r\nx--B-b") + CLOSE + b"after",
    b"before\n" + part(DISPOSITION + b"name=a", b"1").replace(b"\r\n", b"\n") + CLOSE,
    b"",
]
TOKENS = [
    *(b"--B-b", b"\r\n--B-b\r\n", b"--B-b--", b"\r\n--", b"-- B-b", b'--"B-b', b"--X", b"\r\n", b"\n", b"\r", b"\n\n"),
    *(b"\r\n ", b"\n\t", b"\n\x0b", b";", b'"', b"'", b"\\", b'\\"', b"=", b" ", b"\x00", b":", b"name=", b"filename="),
    *(b"; name=x", b'; filename="y"', b"; filename*=u''z", b"%41", b"\r\nX: y", b"\r\nContent-Disposition: form-data"),
    *(b"\xff", b"form-data", b"\r\n\r\n", b"L" * 4090, b"\r\nY: " + b"l" * 4080),
]
TYPES = [
    TYPE,
    b'multipart/form-data; boundary="B-b"',
    b"multipart/form-data; boundary =B-b",
    b"multipart/form-data; boundary= B-b",
    b"multipart/form-data boundary=B-b",
    b"multipart/form-data; boundary=B-b; charset=x",
    b"multipart/form-data; charset=x; boundary=B-b",
    b"multipart/form-data; boundary=B-b;boundary=C",
    b"multipart/form-data; Boundary=B-b",
    b"Multipart/Form-Data;boundary=",
    b'multipart/form-data;boundary=""',
]
TYPE_TOKENS = [
    b"boundary",
    b"Boundary",
    b"=",
    b'"',
    b";",
    b" ",
    b"B-b",
    b"@",
    b"multipart/form-data",
    b"\t",
    b"x",
    b"\xff",
]


@pytest.fixture(scope="module")
def truth() -> ModSecurity:
    return ModSecurity(VARIABLES)


def same_names(ours: set[bytes], theirs: Values, malformed: bool) -> bool:
    """Every blank line behind a malformed Content-Disposition makes ModSecurity read it again; ours gives up."""
    names = {value for _, value in theirs}
    return ours == names or (malformed and ours < names)


def compare(truth: ModSecurity, content_type: bytes, body: bytes) -> None:
    found = truth(headers=[(b"Content-Type", content_type)], body=body)
    items, flags, error, complete = probe.form_data(content_type, body)
    where = (content_type, body)
    for flag in FLAGS:
        assert str(flags[flag]).encode() == single(found[f"MULTIPART_{flag}"]), (flag, *where)
    told = single(found["REQBODY_ERROR_MSG"]).removeprefix(b"Multipart parsing error: ")
    assert (error is not None) == (single(found["REQBODY_ERROR"]) == b"1"), (error, told, *where)
    assert told.startswith(error or b""), (error, told, *where)
    assert bool(told) == bool(error), (error, told, *where)
    for kind, variable in (("name", "MULTIPART_NAME"), ("filename", "MULTIPART_FILENAME")):
        ours = {i["value"] for i in items if i["kind"] == kind}
        assert same_names(ours, found[variable], error is not None), (variable, *where)
    headers = [(i["name"], i["value"]) for i in items if i["kind"] == "header"]
    assert sorted(headers) == sorted(found["MULTIPART_PART_HEADERS"]), where
    fields = [i for i in items if i["kind"] == "field" and complete]
    assert sorted((i["name"], i["value"]) for i in fields) == sorted(found["ARGS_POST"]), where
    assert sorted(i["name"] for i in fields) == sorted(value for _, value in found["ARGS_NAMES"]), where
    files = [i for i in items if i["kind"] == "file" and complete]
    sizes = [len(i["content"]) for i in files]
    assert sorted((i["name"], i["filename"]) for i in files) == sorted(found["FILES"]), where
    assert sorted(i["name"] for i in files) == sorted(value for _, value in found["FILES_NAMES"]), where
    named_sizes = [(i["name"], str(size).encode()) for i, size in zip(files, sizes, strict=True)]
    assert sorted(named_sizes) == sorted(found["FILES_SIZES"]), where
    assert single(found["FILES_COMBINED_SIZE"]) == (str(sum(sizes)).encode() if files else b""), where


@pytest.mark.parametrize("body", BODIES)
def test_a_body_is_read_as_modsecurity_reads_it(truth: ModSecurity, body: bytes) -> None:
    compare(truth, TYPE, body)


@pytest.mark.parametrize("content_type", TYPES)
def test_a_boundary_is_found_as_modsecurity_finds_it(truth: ModSecurity, content_type: bytes) -> None:
    compare(truth, content_type, BODIES[0])


def test_mutated_bodies_are_read_as_modsecurity_reads_them(truth: ModSecurity) -> None:
    chance = random.Random(6)
    for _ in range(6000):
        content_type = TYPES[chance.randint(0, 1)]
        compare(truth, content_type, mutate(chance, chance.choice(BODIES), TOKENS))


def test_mutated_types_are_read_as_modsecurity_reads_them(truth: ModSecurity) -> None:
    chance = random.Random(7)
    for _ in range(2000):
        content_type = mutate(chance, chance.choice(TYPES), TYPE_TOKENS)
        if content_type.lower().startswith(b"multipart/form-data"):
            compare(truth, content_type, BODIES[0])


def test_a_field_keeps_its_line_ends_beside_the_value_without_them() -> None:
    items, _, _, _ = probe.form_data(TYPE, part(DISPOSITION + b'name="a"', b"x\r\ny\nz") + CLOSE)
    assert [(i["value"], i["content"]) for i in items if i["kind"] == "field"] == [(b"xyz", b"x\r\ny\nz")]


def test_headers_of_a_part_are_bounded() -> None:
    many = b"".join(b"\r\nH%d: v" % i for i in range(100))
    items, flags, error, complete = probe.form_data(TYPE, part(DISPOSITION + b'name="a"' + many, b"1") + CLOSE)
    assert (error, complete, flags["STRICT_ERROR"]) == (b"Multipart: Final boundary missing.", False, 1)
    assert [i["kind"] for i in items] == []


def test_a_malformed_header_is_not_read_again_and_again() -> None:
    items, _, _, _ = probe.form_data(TYPE, b"--B-b\r\n" + DISPOSITION + b'name="a"; x="y"' + b"\r\n" * 10_000)
    assert [i["value"] for i in items] == [b"a", b"a"]
