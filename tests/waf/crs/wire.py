"""A stage's input as the request that reaches the rules, and the answer that its backend gives.

What the suite's runner puts on the wire follows go-ftw (github.com/coreruleset/go-ftw, ftwhttp/request.go): headers
sorted by name when given as a map, a form's plain data escaped, `Connection`, `Content-Type` and `Content-Length` added
unless `autocomplete_headers` is false, line ends of multipart data made CRLF. What a server makes of that follows RFC
9112: values without outer blanks, the body as framed. The backend is Albedo (github.com/coreruleset/albedo): `/reflect`
answers what the request's JSON says.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

from ..message import Request, Response, headers, raw

PLAIN = "text/plain; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
# As go-ftw has it: anchored at one end each.
METHODS_WITH_BODY = re.compile(r"^POST|PUT|PATCH|DELETE$")
HTML = re.compile(
    rb"[\t\n\x0c\r ]*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)[ >]",
    re.I,
)
BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def request_of(stage: dict[str, Any]) -> Request:
    """The request of a stage's `input`."""
    if encoded := stage.get("encoded_request"):
        return parsed(base64.b64decode(encoded))
    method, version = stage.get("method", "GET"), stage.get("version", "HTTP/1.1")
    given = stage.get("headers") or {}
    pairs = sorted(given.items()) if isinstance(given, dict) else [(h["name"], h["value"]) for h in given]
    pairs = [(name, str(value)) for name, value in pairs]
    data = base64.b64decode(stage["encoded_data"]) if "encoded_data" in stage else raw(stage.get("data", ""))
    complete = stage.get("autocomplete_headers", not stage.get("stop_magic", False))
    if data and complete:
        if not any(same(name, "content-type") for name, _ in pairs):
            pairs.append(("Content-Type", FORM))
        if any(same(name, "content-type") and same(value, FORM) for name, value in pairs):
            data = escaped(data)
    if any(same(name, "content-type") and "multipart/form-data;" in value.lower() for name, value in pairs):
        data = data.replace(b"\n", b"\r\n")
    if complete:
        if not any(same(name, "connection") for name, _ in pairs):
            pairs.append(("Connection", "close"))
        sized = any(same(name, "content-length") for name, _ in pairs)
        if not sized and (data or METHODS_WITH_BODY.search(method)):
            pairs.append(("Content-Length", str(len(data))))
    return framed(Request(method, raw(stage.get("uri", "/")), headers(pairs), data, version))


def same(a: str, b: str) -> bool:
    return a.lower() == b.lower()


def escaped(data: bytes) -> bytes:
    """Form data with its keys and values percent-encoded, unless decoding it would change (or break) it."""
    if b"+" in data or re.search(rb"%(?![0-9A-Fa-f]{2})", data) or unquote_to_bytes(data) != data:
        return data
    tokens = data.removesuffix(b"&").split(b"&")
    return "&".join("=".join(quote_plus(part, safe="") for part in token.split(b"=", 1)) for token in tokens).encode()


def parsed(wire: bytes) -> Request:
    """The request of raw bytes."""
    head, _, body = wire.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    method, _, rest = line.partition(b" ")
    uri, _, version = rest.rpartition(b" ")
    pairs = [field.partition(b":")[::2] for field in fields]
    return framed(Request(method.decode(), uri, headers(pairs), body, version.decode()))


def framed(request: Request) -> Request:
    """What a server passes on: header values without outer blanks; the body by its chunks or its length, else none."""
    trimmed = tuple((name, value.strip(b" \t")) for name, value in request.headers)
    request = replace(request, headers=trimmed)
    if (request.header("transfer-encoding") or b"").lower() == b"chunked":
        return request.with_body(unchunked(request.body))
    length = request.header("content-length")
    if length is None:
        # Only HTTP/1 needs a length to have a body.
        return request if request.version.startswith(("HTTP/2", "HTTP/3")) else request.with_body(b"")
    return replace(request, body=request.body[: int(length)]) if length.isdigit() else request


def unchunked(body: bytes) -> bytes:
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            return out
        out, body = out + body[:length], body[length + 2 :]


def response_of(request: Request) -> Response:
    """What the suite's backend answers."""
    if request.method != "POST" or request.uri.rstrip(b"/") != b"/reflect":
        return Response(200, headers([("Content-Length", "0")]))
    try:
        spec = json.loads(request.body)
    except ValueError:
        return Response(400, headers([("Content-Type", PLAIN)]), b"Invalid JSON in request body")
    body = raw(spec.get("body", "")) or base64.b64decode(spec.get("encodedBody", ""))
    pairs = list(spec.get("headers", {}).items())
    if body and not any(same(name, "content-type") for name, _ in pairs):
        pairs.append(("Content-Type", sniffed(body)))
    return Response(spec.get("status") or 200, headers([*pairs, ("Content-Length", str(len(body)))]), body)


def sniffed(body: bytes) -> str:
    """The type that Go's server gives a body without one (mimesniff.spec.whatwg.org), as far as the suite needs it."""
    if HTML.match(body):
        return "text/html; charset=utf-8"
    if body.lstrip().startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    return "application/octet-stream" if BINARY.search(body[:512]) else PLAIN
