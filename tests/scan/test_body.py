"""Bodies: each plausible reading is scanned, and what could not be read is scanned raw and told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ratelimitd._ext.scan import probe

from .rules import rule

ARGS = rule("args", b"EVIL")
RAW = rule("raw", b"EVIL", on="body")
NAMES = rule("names", b"EVIL", on="args_names")
FILES = rule("files", b"EVIL", on="files_names")

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json; charset=utf-8"
MULTIPART = b"multipart/form-data; boundary=XbX"


def scan(body: bytes, content_type: bytes | None = None, rules: Any = (ARGS,), **more: Any) -> dict[str, Any]:
    headers = [(b"content-type", content_type)] if content_type is not None else []
    limit = more.pop("limit", 131072)
    return probe.Program(list(rules)).scan(
        {"body": body, "headers": [*headers, *more.pop("headers", [])], **more}, limit
    )


def targets(answer: dict[str, Any]) -> list[bytes]:
    return [target for _, target, _ in answer["matches"]]


def part(name: bytes, content: bytes, filename: bytes | None = None) -> bytes:
    file = b"" if filename is None else b'; filename="' + filename + b'"'
    return b'--XbX\r\nContent-Disposition: form-data; name="' + name + b'"' + file + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    ("body", "content_type", "target"),
    [
        (b"a=1&b=%45VIL", FORM, b"args:b"),
        (b"a=1&b=%45VIL", None, b"args:b"),
        (b'{"a": {"b": "\\u0045VIL"}}', JSON, b"args:a.b"),
        (b'{"a": {"b": "\\u0045VIL"}}', b"application/problem+json", b"args:a.b"),
        (b'{"a": {"b": "\\u0045VIL"}}', None, b"args:a.b"),
        (b' [1, "\\u0045VIL"]', b"text/plain", b"args"),
        (b'{"a": "\\u0045VIL", "b": "=&"}', FORM, b"args:a"),
        (part(b"a", b"EVIL") + b"--XbX--", MULTIPART, b"args:a"),
        (part(b"a", b"EVIL") + b"--XbX--", None, b"args:a"),
        (part(b"a", b"EVIL") + b"--XbX--", b"text/plain", b"args:a"),
        (part(b"a", b"EVIL") + b"--XbX--", b'Multipart/Form-Data; x=y; BOUNDARY="XbX"', b"args:a"),
    ],
)
def test_a_body_is_read_as_declared_and_as_it_looks(body: bytes, content_type: bytes | None, target: bytes) -> None:
    answer = scan(body, content_type)
    assert targets(answer) == [target]
    assert (answer["error"], answer["inspected_all"], answer["bytes_inspected"]) == (False, True, len(body))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a": "x", "b": EVIL', JSON),
        (b'{"a": 1} EVIL', JSON),
        (b"EVIL", JSON),
        (b"[" * 40 + b'"EVIL"' + b"]" * 40, JSON),
        (part(b"a", b"EVIL"), MULTIPART),
        (b"x EVIL", MULTIPART),
        (part(b"a", b"EVIL") + b"--XbX--", b"multipart/form-data; boundary=other"),
        (part(b"a", b"EVIL") + b"--XbX--", b"multipart/form-data"),
        (b"EVIL preamble\r\n" + part(b"a", b"1") + b"--XbX--", MULTIPART),
        (part(b"a", b"1") + b"--XbX--\r\nEVIL epilogue", MULTIPART),
        (b"&".join(b"a=%d" % i for i in range(1024)) + b"&b=%45VIL", FORM),
        (json.dumps([*range(1024), "EVIL"]).encode(), JSON),
        (b"".join(part(b"a", b"1") for _ in range(1024)) + part(b"b", b"EVIL") + b"--XbX--", MULTIPART),
    ],
)
def test_what_cannot_be_read_is_scanned_raw_and_told(body: bytes, content_type: bytes) -> None:
    answer = scan(body, content_type)
    assert answer["matches"]
    assert (answer["error"], answer["inspected_all"]) == (True, False)


def test_many_query_arguments_and_cookies_do_not_hide_one() -> None:
    query = b"/?" + b"&".join(b"a=%d" % i for i in range(2000)) + b"&b=%45VIL"
    cookie = b"; ".join(b"a=%d" % i for i in range(400)) + b"; b=EVIL"
    answer = probe.Program([ARGS, rule("c", b"EVIL", on="cookies")]).scan(
        {"path": query, "headers": [(b"cookie", cookie)]}
    )
    assert targets(answer) == [b"args", b"cookies"]
    assert answer["error"]


def test_names_of_keys_parts_and_files_are_seen() -> None:
    assert targets(scan(b'{"a": {"EVIL": {}}}', JSON, [NAMES])) == [b"args_names:a.EVIL"]
    body = part(b"EVIL", b"x", b"a.png") + b"--XbX--"
    assert targets(scan(body, MULTIPART, [NAMES, FILES, ARGS])) == [b"args_names:EVIL"]
    body = part(b"f", b"x", b"EVIL.php") + b"--XbX--"
    assert targets(scan(body, MULTIPART, [NAMES, FILES, ARGS])) == [b"files_names:f"]
    body = body.replace(b'filename="EVIL.php"', b"filename*=utf-8'en'%45VIL.php")
    assert targets(scan(body, MULTIPART, [FILES])) == [b"files_names:f"]


def test_the_content_of_a_file_is_for_body_rules_alone() -> None:
    body = part(b"f", b"EVIL", b"a.png") + b"--XbX--"
    assert targets(scan(body, MULTIPART, [ARGS, RAW])) == [b"body"]


def test_the_raw_body_is_a_target_whatever_the_type() -> None:
    for content_type in (None, FORM, JSON, MULTIPART, b"text/xml", b"application/octet-stream"):
        assert b"body" in targets(scan(b"<x>EVIL</x>", content_type, [RAW]))
    assert targets(scan(b"<x>EVIL</x>", b"text/xml")) == []


def test_a_cut_body_is_told_and_no_error() -> None:
    body = b'{"a": "EVIL", "b": "' + b"x" * 100 + b'"}'
    answer = scan(body, JSON, limit=50)
    assert targets(answer) == [b"args:a"]
    assert (answer["bytes_inspected"], answer["inspected_all"], answer["error"]) == (50, False, False)
    answer = scan(body[:60], JSON, partial_body=True)
    assert (answer["bytes_inspected"], answer["inspected_all"], answer["error"]) == (60, False, False)


def test_an_encoded_body_or_two_types_are_told() -> None:
    assert scan(b"\x1f\x8b", FORM, headers=[(b"content-encoding", b"gzip")])["error"]
    assert not scan(b"a=1", FORM, headers=[(b"content-encoding", b"identity")])["error"]
    answer = scan(b'{"a": "EVIL"}', FORM, headers=[(b"content-type", JSON)])
    assert answer["error"]
    assert targets(answer) == [b"args:a"]


def test_bodies_that_no_rule_looks_at_cost_nothing() -> None:
    answer = scan(b"EVIL", FORM, [rule("p", b"EVIL", on="path")])
    assert (answer["bytes_inspected"], answer["inspected_all"]) == (0, True)


def test_work_is_bounded_by_the_input() -> None:
    """A long key in front of many leaves: the names alone would be quadratic."""
    body = b'{"' + b"k" * 60_000 + b'": [' + b",".join(b"%d" % i for i in range(1000)) + b', "EVIL"]}'
    answer = scan(body, JSON, [ARGS, NAMES])
    assert answer["error"]
    assert b"args" in targets(answer)
