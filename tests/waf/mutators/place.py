"""A text put somewhere in a request: every place that a rule may look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from urllib.parse import quote_from_bytes

from ..message import Request

Place = Callable[[Random, Request, bytes], Request]
FORM = "application/x-www-form-urlencoded"
FIELDS = (b"q", b"id", b"name", b"a[]", b"x.y", b"file", b"url", b"cmd", b"_method", b"A b")


def sent(request: Request, media: str, body: bytes, method: str = "POST") -> Request:
    return replace(
        request.with_header("Content-Type", media).with_header("Content-Length", str(len(body))),
        method=method,
        body=body,
    )


def text_of(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def quoted(draw: Random, value: bytes) -> bytes:
    """As a client would write it, or raw but for what ends an argument or a line."""
    if draw.random() < 0.6:
        return quote_from_bytes(value, safe=draw.choice(("", "%", "/:%"))).encode()
    for stop, written in ((b" ", b"+"), (b"\r", b"%0d"), (b"\n", b"%0a"), (b"\x00", b"%00"), (b"#", b"%23")):
        value = value.replace(stop, written)
    return value


def query(draw: Random, request: Request, value: bytes) -> Request:
    joint = b"&" if b"?" in request.uri else b"?"
    return replace(request, uri=request.uri + joint + draw.choice(FIELDS) + b"=" + quoted(draw, value))


def query_name(draw: Random, request: Request, value: bytes) -> Request:
    joint = b"&" if b"?" in request.uri else b"?"
    return replace(request, uri=request.uri + joint + quoted(draw, value) + draw.choice((b"", b"=", b"=1")))


def path(draw: Random, request: Request, value: bytes) -> Request:
    before, mark, after = request.uri.partition(b"?")
    return replace(request, uri=before.rstrip(b"/") + b"/" + quoted(draw, value) + mark + after)


def form(draw: Random, request: Request, value: bytes) -> Request:
    return sent(request, FORM, b"a=1&" + draw.choice(FIELDS) + b"=" + quoted(draw, value) + b"&b=2")


def raw_form(draw: Random, request: Request, value: bytes) -> Request:
    return sent(request, FORM, draw.choice(FIELDS) + b"=" + value)


def json_value(draw: Random, request: Request, value: bytes) -> Request:
    text = value.decode("utf-8", "replace")
    shape = draw.choice((lambda v: {"a": v}, lambda v: [v, 1], lambda v: {"a": {"b": [None, {"c": v}]}}, lambda v: v))
    return sent(request, "application/json", json.dumps(shape(text), ensure_ascii=draw.random() < 0.5).encode())


def json_key(draw: Random, request: Request, value: bytes) -> Request:
    body = json.dumps({value.decode("utf-8", "replace"): draw.choice((1, "x", None, [True]))}).encode()
    return sent(request, "application/json", body)


def xml_text(draw: Random, request: Request, value: bytes) -> Request:
    inner = value if draw.random() < 0.3 else b"<![CDATA[" + value.replace(b"]]>", b"") + b"]]>"
    return sent(request, draw.choice(("text/xml", "application/xml")), b"<a><b>" + inner + b"</b>t</a>")


def xml_attribute(draw: Random, request: Request, value: bytes) -> Request:
    safe = value.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;")
    return sent(request, "application/xml", b'<?xml version="1.0"?><a b="' + safe + b'"/>')


def multipart_value(draw: Random, request: Request, value: bytes) -> Request:
    return multipart(request, b'Content-Disposition: form-data; name="a"', value)


def multipart_name(draw: Random, request: Request, value: bytes) -> Request:
    name = value.replace(b"\r", b"").replace(b"\n", b"")
    return multipart(request, b'Content-Disposition: form-data; name="' + name + b'"', b"1")


def multipart_file(draw: Random, request: Request, value: bytes) -> Request:
    name = value.replace(b"\r", b"").replace(b"\n", b"")
    head = b'Content-Disposition: form-data; name="f"; filename="' + name + b'"\r\nContent-Type: text/plain'
    return multipart(request, head, value)


def multipart(request: Request, head: bytes, value: bytes) -> Request:
    body = b"--bnd\r\n" + head + b"\r\n\r\n" + value + b"\r\n--bnd--\r\n"
    return sent(request, "multipart/form-data; boundary=bnd", body)


def plain_body(draw: Random, request: Request, value: bytes) -> Request:
    return sent(request, draw.choice(("text/plain", "application/octet-stream", "application/csp-report")), value)


def one_line(value: bytes) -> bytes:
    return value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"").strip(b" \t")


def header(draw: Random, request: Request, value: bytes) -> Request:
    name = draw.choice(("User-Agent", "Referer", "X-Forwarded-For", "X-Custom", "Accept", "Host", "Content-Language"))
    return request.with_header(name, one_line(value))


def cookie(draw: Random, request: Request, value: bytes) -> Request:
    return request.with_header("Cookie", b"a=1; b=" + one_line(value))


def cookie_name(draw: Random, request: Request, value: bytes) -> Request:
    return request.with_header("Cookie", one_line(value) + b"=1; b=2")


PLACES: tuple[Place, ...] = (
    query,
    query,
    query_name,
    path,
    form,
    form,
    raw_form,
    json_value,
    json_key,
    xml_text,
    xml_attribute,
    multipart_value,
    multipart_name,
    multipart_file,
    plain_body,
    header,
    cookie,
    cookie_name,
)
