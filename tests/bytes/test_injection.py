"""libinjection: the suite's cases, and that our gates never hide an injection from it."""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from ratelimitd._ext.bytes import operators_probe as probe
from ratelimitd.waf import injection
from tests.bytes.seclang import needs_cases, operator_cases


def libraries() -> list[str]:
    return [name for name in injection.candidates() if injection.exports_libinjection(name)]


needs_library = pytest.mark.skipif(not libraries(), reason="needs libinjection: " + injection.REMEDY)


@pytest.fixture(params=libraries() or [""], ids=lambda name: name.rpartition("/")[2].partition(".")[0])
def library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    """Every build of libinjection that is installed, also loaded into the engine."""
    assert probe.injection_load(request.param.encode()) is None
    return ctypes.CDLL(request.param)


def sqli(library: ctypes.CDLL) -> Callable[[bytes], int]:
    fingerprint = ctypes.create_string_buffer(8)
    call = library.libinjection_sqli
    call.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    return lambda text: call(text, len(text), fingerprint)


def xss(library: ctypes.CDLL) -> Callable[[bytes], int]:
    call = library.libinjection_xss
    call.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return lambda text: call(text, len(text))


@needs_library
@needs_cases
def test_the_seclang_suite(library: ctypes.CDLL) -> None:
    for case in operator_cases("detectSQLi"):
        assert (probe.sqli(case["input"].encode()) is not None) == bool(case["ret"]), case
    for case in operator_cases("detectXSS"):
        assert probe.xss(case["input"].encode()) == bool(case["ret"]), case


@needs_library
def test_a_fingerprint_is_told(library: ctypes.CDLL) -> None:
    assert probe.sqli(b"1' or '1'='1") == b"s&sos"
    assert probe.sqli(b"hello") is None
    assert probe.injection_loaded()


def test_a_wrong_library_says_why() -> None:
    assert "cannot open" in (probe.injection_load(b"/no/such/file.so") or "")
    assert "libinjection" in (probe.injection_load(b"libc.so.6") or "")


def test_without_libinjection_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection, "candidates", lambda: iter(["/no/such/file.so"]))
    with pytest.raises(injection.InjectionError, match="libmodsecurity3"):
        injection.injection_library()


# Of each type of token that libinjection knows, and those that it treats by name.
KEYWORDS = b"""
SELECT INSERT UPDATE DELETE DROP CREATE ALTER EXEC EXECUTE IF USE BEGIN DECLARE SHUTDOWN WAITFOR UNION EXCEPT
INTERSECT INTO OUTFILE FROM WHERE TABLE LIMIT HAVING GROUP ORDER BY OFFSET PROCEDURE AS DESC AND OR XOR NOT IN
LIKE RLIKE IS ISNULL BETWEEN DIV MOD REGEXP SOUNDS COLLATE BINARY CASE WHEN THEN ELSE END INT INT8 FLOAT8
VARCHAR TEXT _LATIN1 _UTF8 SERIAL8 MONEY NULL TRUE FALSE CURRENT_DATE USER USER_ID DATABASE PASSWORD SLEEP
BENCHMARK MD5 SHA1 LOG10 ASCII CHAR ATAN2 CRC32 OWN3D DATETIME2FROMPARTS TO_BASE64 ALL JOIN ANALYSE SET VALUES
ON NATURAL LEFT RIGHT OUTER GOTO KILL HANDLER TRUNCATE LOAD PRINT BACKUP RESTORE USER_LOCK.SLEEP
UTL_HTTP.REQUEST john item-7 union1 1union 1or 0xunion 1eunion 1dunion 0b1or
""".split()
PLAIN = [b"1", b"7.5", b"1e5", b"a1", b"x9z", b"md5", b"sha1", b"41d4", b"0x1f", b"zz", b"1a"]
MARKS = [b"+", b"-", b"*", b"/", b",", b":", b".", b"=", b"<", b"!", b"::", b"<=>", b"%"]
ATTACKS = [
    b"1' or '1'='1",
    b"1 union select 1,2,3--",
    b"-1 union all select null,version()",
    b"1;drop table x",
    b"1 or 1=1",
    b"1 and sleep(5)",
    b"x' and 1=1#",
    b"1/**/or/**/1",
    b"a or b",
    b"1 or 1 or 1",
    b"1 into outfile 2",
    b"1 group by 1",
    b"1 like 1",
    b"1 is null or 1",
    b"select 1 from a",
    b"1 procedure analyse 1",
    b"1 having 1",
    b"\\N or 1",
    b"@a or 1",
    b"<script>alert(1)</script>",
    b'<a href="javascript:1">',
    b"' onload='x",
    b"x onerror=y",
    b"`onclick=z",
    b"<svg/onload=x>",
    b"style=x",
    b"xmlns:a=b",
    b"><!doctype x>",
    b"<!--[if",
    b"<?import",
    b"a href=data:x",
    b"\x00o\x00nload=1",
]


def token_rows() -> Iterator[tuple[bytes, ...]]:
    """All rows of up to five tokens of the kinds that the gate trusts, and short ones with words that it does not."""
    for size in range(1, 5):
        yield from itertools.product([*PLAIN, *MARKS], repeat=size)
    trusted = [b"1", b"a1", b"md5", b"+", b"-", b",", b":", b"."]
    yield from itertools.product(trusted, repeat=5)
    yield from itertools.product(KEYWORDS, KEYWORDS)
    for size in (2, 3):
        yield from ((word, *row) for word in KEYWORDS for row in itertools.product(trusted, repeat=size))


@needs_library
@pytest.mark.slow
def test_rows_of_tokens_that_pass_the_gate_are_benign(library: ctypes.CDLL) -> None:
    detect, benign = sqli(library), 0
    for glue in (b" ", b""):
        for row in token_rows():
            text = glue.join(row)
            if probe.check("benignSQLi", text):
                benign += 1
                assert detect(text) == 0, text
    assert benign > 500_000


def mutations(count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    pieces = [
        *KEYWORDS,
        *PLAIN,
        *MARKS,
        *ATTACKS,
        b" ",
        b"\n",
        b"\xa0",
        b"\xc3\xa9",
        b"'",
        b'"',
        b"(",
        b")",
        b"--",
        b"#",
        b"=",
        b"<",
    ]
    for _ in range(count):
        kind = rng.randrange(4)
        if kind == 0:
            yield b"".join(rng.choices(pieces, k=rng.randrange(1, 6)))
        elif kind == 1:
            text = bytearray(rng.choice(ATTACKS))
            for _ in range(rng.randrange(4)):
                text[rng.randrange(len(text))] = rng.choice(b" a1.,:-+_=<>'\"\0Z")
            yield bytes(text)
        elif kind == 2:
            yield bytes(rng.choices(b"aorunisel1 29.,:-+_=/*", k=rng.randrange(1, 14)))
        else:
            yield rng.randbytes(rng.randrange(1, 24))


@needs_library
def test_mutated_attacks_that_pass_a_gate_are_benign(library: ctypes.CDLL) -> None:
    detect_sqli, detect_xss = sqli(library), xss(library)
    passed = [0, 0]
    for text in mutations(200_000, 11):
        if probe.check("benignSQLi", text):
            passed[0] += 1
            assert detect_sqli(text) == 0, text
        if probe.check("benignXSS", text):
            passed[1] += 1
            assert detect_xss(text) == 0, text
    assert min(passed) > 20_000


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"John Smith",
        b"12345",
        b"2024-01-31 12:30",
        b"550e8400-e29b-41d4-a716-446655440000",
        b"order-12345",
        b"3.14",
        b"report.pdf1",
    ],
)
def test_common_values_pass(text: bytes) -> None:
    assert probe.check("benignSQLi", text)
    assert probe.check("benignXSS", text)
