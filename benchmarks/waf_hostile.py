"""Requests made to cost, each of about SIZE bytes: what evades, nests, repeats and backtracks.

python -m benchmarks.waf_hostile --crs DIR   what each costs, as a multiple of benign requests of its size
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from ratelimitd._ext.waf.probe import Program

from .core_rules import cpu_us, program
from .waf_requests import SEED, Request, document, form, post

SIZE = 16 * 1024
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

# Repeated until a value is full: the beginnings of what rules look for, and what transformations undo.
PIECES = {
    "words that commands begin with": "time ",
    "separators": ";|&`$(){}",
    "evasion": "\\'\"^[]",
    "quotes": "'\"`",
    "comments": "/*!*/ ",
    "half a comment": "/*",
    "angles": "<a ",
    "entities": "&#x41;&lt;",
    "percent": "%2525",
    "unicode escapes": "%u0041\\u0041",
    "backslashes": "\\x41\\101\\",
    "css escapes": "\\41 \\000041",
    "base64": "QUFBQUFB",
    "dots": "../",
    "spaces": " \t",
    "null bytes": "a\0",
    "numbers": "1 and 1=1 or ",
    "sql words": "select union from ",
    "parentheses": "sleep(((",
    "variables": "$a$@$*",
    "high bytes": "\u00e9\u4e2d",
    "overlong": "a" * 64,
    "equal signs": "a=b=",
    "hex": "0x41 0x",
    "js": "[][(![]+[])[+[]]",
    "template": "{{{%${",
    "xml": "<!--<![CDATA[",
    "urls": "http://a@",
    "newlines": "\r\nset ",
}


def full(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


def benign(size: int = SIZE) -> Iterator[Request]:
    draw = random.Random(SEED)
    yield post("a form of 20 fields", "/a", FORM, form(draw, 20, size))
    yield post("a form of 200 fields", "/a", FORM, form(draw, 200, size))
    yield post("JSON records", "/a", JSON, document(draw, size))


def hostile(size: int = SIZE) -> Iterator[Request]:
    for name, piece in PIECES.items():
        value = full(piece, size // 3)
        yield post(f"{name}, a form", "/a", FORM, b"q=" + quote(value).encode()[:size])
        yield post(f"{name}, JSON", "/a", JSON, json.dumps({"q": value}).encode()[:size])
        yield post(
            f"{name}, many fields", "/a", FORM, urlencode([(f"f{n}", value[:24]) for n in range(size // 80)]).encode()
        )
    yield post("nested arrays", "/a", JSON, b"[" * (size // 2) + b"]" * (size // 2))
    yield post("nested objects", "/a", JSON, b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6))
    yield post("many empty fields", "/a", FORM, b"&" * size)
    yield post("many short fields", "/a", FORM, b"a=1&" * (size // 4))
    yield post("many numbers", "/a", JSON, b"[" + b"1," * (size // 2 - 1) + b"1]")
    yield post("one long word", "/a", FORM, b"q=" + b"a" * size)
    yield post(
        "a truncated form",
        "/a",
        "multipart/form-data; boundary=x",
        b"--x\r\nContent-Disposition: form-data; " * (size // 40),
    )
    yield post(
        "many parts",
        "/a",
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * (size // 54) + b"--x--\r\n",
    )
    yield post("nested XML", "/a", "application/xml", b"<a>" * (size // 7) + b"</a>" * (size // 7))
    yield post(
        "many attributes",
        "/a",
        "application/xml",
        b"<a " + b" ".join(b'a%d="1"' % n for n in range(size // 10)) + b"/>",
    )


def multiples(engine: Program, size: int = SIZE) -> list[tuple[float, Request]]:
    """What each costs over the cheapest benign request of its size, the worst first."""
    least = min(cpu_us(engine, request, 0.1) / len(request.body) for request in benign(size))
    rows = [(cpu_us(engine, request, 0.05) / max(len(request.body), 1) / least, request) for request in hostile(size)]
    return sorted(rows, key=lambda row: -row[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--crs", type=Path, required=True, help="the Core Rule Set's folder")
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of each request")
    options = parser.parse_args()
    for times, request in multiples(program(options.crs), options.size):
        print(f"{times:7.2f}x  {request.name} ({len(request.body)} bytes)")


if __name__ == "__main__":
    main()
