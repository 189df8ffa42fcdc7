"""What a program finds, where, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratelimitd._ext.scan import probe
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Target, Transformation

from .rules import found, rule

LOWER, URL, SPACE = Transformation.LOWERCASE, Transformation.URL_DECODE_UNI, Transformation.COMPRESS_WHITESPACE


@pytest.mark.parametrize(
    ("on", "request_fields", "target"),
    [
        ("method", {"method": b"EVIL"}, "method"),
        ("path", {"path": b"/EVIL?x"}, "path"),
        ("query", {"path": b"/x?EVIL"}, "query"),
        ("query", {"path": b"/x?a#EVIL"}, "query"),
        ("path", {"path": b"http://h/EVIL"}, "path"),
        ("host", {"host": b"EVIL"}, "host"),
        ("args", {"path": b"/?id=%45VIL"}, "args:id"),
        ("args_names", {"path": b"/?%45VIL=1"}, "args_names:EVIL"),
        ("headers", {"headers": [(b"x-a", b"EVIL")]}, "headers:x-a"),
        ("headers_names", {"headers": [(b"x-EVIL", b"1")]}, "headers_names:x-EVIL"),
        ("cookies", {"headers": [(b"cookie", b"a=1; b=EVIL")]}, "cookies:b"),
        ("cookies_names", {"headers": [(b"cookie", b"a=1; EVIL=2")]}, "cookies_names:EVIL"),
        ("body", {"body": b"x EVIL"}, "body"),
    ],
)
def test_every_target_is_looked_at_and_named(on: str, request_fields: dict[str, Any], target: str) -> None:
    assert found([rule("1", b"EVIL", on=on)], **request_fields) == [("1", target)]
    others = " ".join(t.name.lower() for t in Target if t.name.lower() != on)
    if on in ("method", "path", "host"):  # the others are readings of the same bytes
        assert found([rule("1", b"EVIL", on=others)], **request_fields) == []


def test_a_rule_fires_once_and_names_the_first_field() -> None:
    answer = probe.Program([rule("1", b"EVIL", b"evil", score=4)]).scan({"path": b"/?a=x&b=EVIL&c=evil&d=EVIL"})
    assert answer["matches"] == [(b"1", b"args:b", 4)]
    assert answer["score"] == 4


def test_scores_add_up_and_saturate() -> None:
    rules = [rule("1", b"EVIL", score=2**32 - 2), rule("2", b"EVIL", score=3), rule("3", b"EVIL", score=7)]
    assert probe.Program(rules).scan({"path": b"/?a=EVIL"})["score"] == 2**32 - 1


def test_the_first_denying_rule_is_always_told() -> None:
    rules = [rule(str(i), b"EVIL", score=1) for i in range(40)] + [
        rule("deny", b"VIL", deny=True),
        rule("late", b"EVIL", deny=True),
    ]
    answer = probe.Program(rules).scan({"path": b"/?a=EVIL"})
    assert len(answer["matches"]) == 32
    assert answer["matches"][answer["deny_match"]][0] == b"deny"
    assert answer["score"] == 50


def test_names_narrow_and_exclude_without_regard_to_case() -> None:
    named = rule("named", b"EVIL", on="headers:user-agent args:Id")
    spared = rule("spared", b"EVIL", on="args !args:password")
    assert found([named, spared], path=b"/?iD=EVIL") == [("named", "args:iD"), ("spared", "args:iD")]
    assert found([named, spared], path=b"/?PassWord=EVIL") == []
    assert found([named, spared], headers=[(b"referer", b"EVIL")]) == []
    assert found([named, spared], headers=[(b"user-agent", b"EVIL")]) == [("named", "headers:user-agent")]


def test_a_rule_sees_only_what_its_own_chain_makes() -> None:
    rules = [
        rule("raw", b"union select"),
        rule("lower", b"union select", chain=(LOWER,)),
        rule("full", b"union select", chain=(URL, LOWER, SPACE)),
    ]
    assert found(rules, path=b"/?q=union%20select") == [("raw", "args:q"), ("lower", "args:q"), ("full", "args:q")]
    assert found(rules, path=b"/?q=UNION%20select") == [("lower", "args:q"), ("full", "args:q")]
    assert found(rules, path=b"/?q=UNION%2520%0a%0aselect") == [("full", "args:q")]


def test_an_equal_string_of_another_field_is_masked_anew() -> None:
    rules = [rule("a", b"EVIL", on="args:a"), rule("b", b"EVIL", on="args:b"), rule("c", b"EVIL", on="cookies")]
    request = {"path": b"/?z=EVIL&b=EVIL&a=EVIL", "headers": [(b"cookie", b"s=EVIL")]}
    assert found(rules, **request) == [("b", "args:b"), ("a", "args:a"), ("c", "cookies:s")]


def test_a_target_is_safe_to_print() -> None:
    [(_, target)] = found([rule("1", b"EVIL")], path=b"/?%00%ff%25" + b"n" * 200 + b"=EVIL")
    assert target == "args:%00%FF%25" + "n" * 93


@pytest.mark.parametrize(
    ("pattern", "message"),
    [(b"a*", "matches empty"), (b"(a", "Missing close"), (b"(?<=a)b", "not supported"), (b"a\0", "null byte")],
)
def test_a_pattern_that_does_not_compile_names_its_rule(pattern: bytes, message: str) -> None:
    with pytest.raises(EngineError, match=f"rule bad-one: .*{message}"):
        probe.Program([rule("fine", b"x"), rule("bad-one", b"ok", pattern)])


def test_too_many_chains_are_refused() -> None:
    kinds = list(Transformation)
    rules = [rule(str(i), b"x", chain=(kinds[i % 18], kinds[i // 18])) for i in range(65)]
    with pytest.raises(EngineError, match="65 distinct transformation chains"):
        probe.Program(rules)
    assert probe.Program(rules[:64]).databases == 1


def test_no_rules_find_nothing() -> None:
    assert probe.Program([]).scan({"body": b"x"}) == {
        "score": 0,
        "matches": [],
        "deny_match": -1,
        "bytes_inspected": 0,
        "inspected_all": True,
        "error": False,
    }


def test_a_scratch_serves_every_program_that_it_was_prepared_for() -> None:
    small = probe.Program([rule("s", b"x")])
    large = probe.Program([rule(str(i), b"EVIL%03d" % i, chain=(URL, LOWER)[: i % 3]) for i in range(200)])
    small.prepare(large)
    assert small.scan_with(large, {"path": b"/?a=EVIL199"})["matches"] == [(b"199", b"args:a", 5)]
    assert small.scan({"path": b"/?a=x"})["matches"] == [(b"s", b"args:a", 5)]


def test_the_cache_is_used_and_never_trusted(tmp_path: Path) -> None:
    rules = [rule("1", b"EVIL in a cache")]
    request = {"path": b"/?a=EVIL+in+a+cache"}
    cache = tmp_path / "cache"

    def scan() -> dict[str, Any]:
        return probe.Program(rules, str(cache)).scan(request)

    expected = scan()
    assert expected["matches"]
    [file] = cache.iterdir()
    whole = file.read_bytes()
    before = file.stat().st_ino
    assert scan() == expected
    assert file.stat().st_ino == before  # not written again
    for broken in (b"", whole[:-1], whole[:60], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"x" + whole[1:]):
        file.write_bytes(broken)
        assert scan() == expected
        assert file.read_bytes() == whole
    assert list(cache.iterdir()) == [file]
    probe.Program([rule("1", b"EVIL in a cache", ignore_case=True)], str(cache))
    assert len(list(cache.iterdir())) == 2


def test_programs_with_the_same_patterns_share_a_database() -> None:
    before = probe.databases_in_use()
    one = probe.Program([rule("1", b"shared EVIL")])
    two = probe.Program([rule("other", b"shared EVIL", on="path", chain=(LOWER,))])
    assert probe.databases_in_use() == before + 1
    del one
    assert two.scan({"path": b"/shared EVIL"})["matches"] == []
    assert probe.databases_in_use() == before + 1
    del two
    assert probe.databases_in_use() == before


def test_steady_state_allocates_nothing() -> None:
    rules = [
        rule(str(i), b"x%dy" % i, on="args headers args_names body", chain=(URL, LOWER, SPACE)[: i % 4])
        for i in range(20)
    ]
    request = {
        "path": b"/?" + b"&".join(b"A%d=%%41+x%dy" % (i, i) for i in range(50)),
        "headers": [(b"x-%d" % i, b"A  b" * i) for i in range(30)] + [(b"content-type", b"application/json")],
        "body": b'{"a": ["\\u0041", 1, {"b": "x1y"}]}' + b" " * 100_000,
    }
    assert probe.Program(rules).heap_growth(request, 100) == 0


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert probe.Program([rule("1", b"EVIL")], str(tmp_path / "file" / "cache")).databases == 1


def test_the_dump_names_lanes_rules_and_chains() -> None:
    text = probe.Program([rule("942100", b"union", on="args headers:referer", chain=(URL, LOWER))]).dump()
    assert "url_decode_uni > lowercase: rules 942100" in text
    assert "headers:referer: lane 0" in text


HOSTILE = [
    b"/",
    b"/*",
    b"*/",
    b"&",
    b"&#",
    b"&lt",
    b"%",
    b"%u00",
    b"\\",
    b"\\u00",
    b"../",
    b"a../",
    b"--",
    b"<!--",
    b" ",
    b"\xc0\xaf",
    b"[",
    b"\n--X",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_is_linear_in_the_body(piece: bytes) -> None:
    """128 KiB of what readers stumble over, under every transformation and long chains, take a fraction of a second."""
    kinds = list(Transformation)
    chains = [(kind,) for kind in kinds] + [tuple(kinds[i : i + 6]) for i in range(12)]
    rules = [rule(str(i), b"EVIL", on="body args", chain=chain) for i, chain in enumerate(chains)]
    program = probe.Program(rules)
    request = {"body": (piece * 131072)[:131072], "headers": [(b"content-type", b"multipart/form-data; boundary=XX")]}
    assert program.time_scan(request, 1) < 3.0  # seconds of CPU; sanitizers are slow
