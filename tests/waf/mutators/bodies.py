"""A body, or what is said of it, broken."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random

from ..message import Request
from .place import sent

Mutation = Callable[[Random, Request], Request]

MEDIA = (
    "text/plain",
    "application/json",
    "application/json; charset=utf-7",
    "APPLICATION/JSON",
    "application/x-www-form-urlencoded; charset=utf-8",
    "application/x-www-form-urlencoded;charset=ibm037",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=x; boundary=y",
    'multipart/form-data; boundary="bnd"',
    "multipart/form-data; boundary=bnd, application/json",
    "multipart/related; boundary=bnd",
    "text/xml",
    "application/soap+xml",
    "application/vnd.api+json",
    "x-www-form-urlencoded",
    "application/octet-stream",
    "",
)


def media(draw: Random, request: Request) -> Request:
    """Another content type for the same bytes."""
    return request.with_header("Content-Type", draw.choice(MEDIA))


def no_media(draw: Random, request: Request) -> Request:
    return Request(
        request.method,
        request.uri,
        tuple(pair for pair in request.headers if pair[0].lower() != b"content-type"),
        request.body,
        request.version,
    )


def truncated(draw: Random, request: Request) -> Request:
    return request.with_body(request.body[: draw.randint(0, len(request.body))])


def appended(draw: Random, request: Request) -> Request:
    tails = (b"\r\n", b"\x00", b"&", b"&&=&=", b"}", b"--bnd--", b"\r\nepilogue", b"%", b"<", b";", b",", b"&a=1;b=2")
    return request.with_body(request.body + draw.choice(tails))


def spoiled(draw: Random, request: Request) -> Request:
    """A few bytes changed."""
    body = bytearray(request.body)
    for _ in range(min(len(body), draw.randint(1, 4))):
        body[draw.randrange(len(body))] = (
            draw.choice(b"\x00\r\n\"'<>{}[]%&=;-\\ \x80\xff") if draw.random() < 0.8 else 65
        )
    return request.with_body(bytes(body))


def line_ends(draw: Random, request: Request) -> Request:
    return request.with_body(request.body.replace(b"\r\n", draw.choice((b"\n", b"\r", b"\r\r\n"))))


def length(draw: Random, request: Request) -> Request:
    """A length that is not the body's."""
    return request.with_header("Content-Length", draw.choice(("0", "1", "99999", "-1", "0x10", "", "+5")))


def encoded(draw: Random, request: Request) -> Request:
    """Said to be compressed, truly or not."""
    body = gzip.compress(request.body, mtime=0) if draw.random() < 0.5 else request.body
    return request.with_body(body).with_header("Content-Encoding", draw.choice(("gzip", "deflate", "identity", "br")))


JSON = (
    b'{"a":1,"a":"<script>alert(1)</script>"}',
    b'{"a":{"a":{"a":{"a":"1 or 1=1"}}}}',
    b'{"a":[[[["../../etc/passwd"]]]]}',
    b"[" * 60 + b"1" + b"]" * 60,
    b'{"a":1,}',
    b"{'a':'b'}",
    b'{"a":NaN,"b":Infinity}',
    b'{"a":"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\x41"}',
    b'{"a":1e999,"b":-0,"c":01}',
    b'\xef\xbb\xbf{"a":"b"}',
    b'{"a":"b"}{"c":"d"}',
    b'/* x */{"a":"b"}',
    b'{"a b":"c","":"d","a.b":"e","a[0]":"f"}',
    b'"; cat /etc/passwd"',
    b"null",
    b"",
    b" ",
    b'{"a":"\xff\xfe"}',
    b'{"a":"line\nbreak"}',
    b"[1,2,3,true,false,null,[],{}]",
)
XML = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "/etc/passwd">]><a>&b;</a>',
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    b"<a><b>1 or 1=1</b><c d='<script>'>x</c></a>",
    b"<a>unclosed",
    b"<a b=1 c>x</a>",
    b"<a xmlns:x='http://x.example'><x:b>../../../etc/passwd</x:b></a>",
    b"<a><!-- <script>alert(1)</script> --><?php echo 1 ?></a>",
    b"<a>" * 40 + b"x" + b"</a>" * 40,
    b'<?xml version="1.0" encoding="utf-16"?><a>x</a>',
    b"<a>&lt;script&gt;alert(1)&lt;/script&gt;</a>",
    b"plain",
    b"",
)
MULTIPART = (
    b'--bnd\r\nContent-Disposition: form-data; name="a"\r\n\r\n1 or 1=1\r\n',
    b'--bnd\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--bnd',
    b'pre\r\n--bnd\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--bnd--\r\npost',
    b"--bnd\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--bnd--\r\n",
    b"--bnd\r\nContent-Disposition: form-data; name='a'\r\n\r\nx\r\n--bnd--\r\n",
    b'--bnd\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\nx\r\n--bnd--\r\n',
    b'--bnd\r\nContent-Disposition: form-data;\r\n name="a"\r\n\r\nx\r\n--bnd--\r\n',
    b'--bnd\nContent-Disposition: form-data; name="a"\n\nx\n--bnd--\n',
    b"--bnd\r\nContent-Disposition: form-data\r\n\r\nx\r\n--bnd--\r\n",
    b"--bnd\r\n\r\nx\r\n--bnd--\r\n",
    (
        b'--bnd\r\nContent-Disposition: form-data; name="f"; filename="a.php"\r\n'
        b"Content-Type: text/php\r\n\r\n<?php\r\n--bnd--\r\n"
    ),
    b"--bnd\r\nContent-Disposition: form-data; name=\"f\"; filename*=UTF-8''a%2ephp\r\n\r\nx\r\n--bnd--\r\n",
    b'--bnd\r\nContent-Disposition: form-data; name="f"; filename="a\\"b.txt"\r\n\r\nx\r\n--bnd--\r\n',
    b'--bnd\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-7\r\n--bnd--\r\n',
    (
        b'--bnd\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\neA==\r\n--bnd--\r\n"
    ),
    (
        b'--bnd\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Type: text/plain; charset=utf-7\r\n\r\nx\r\n--bnd--\r\n"
    ),
    b'--bnd\r\ncontent-disposition : form-data; name="a"\r\n\r\nx\r\n--bnd--\r\n',
    b'--other\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--other--\r\n',
    b"--bnd--\r\n",
    b"--bnd\r\n" * 3,
    b"",
)
FORMS = (
    b"&&&",
    b"=",
    b"=x",
    b"a",
    b"a=",
    b"a=b=c",
    b"a;b=c",
    b"%=%&%3d=1",
    b"a=1&a=2&A=3",
    b"a%00b=c",
    b"+=+",
    b"a[b][c]=d&a[]=e",
)


def odd_json(draw: Random, request: Request) -> Request:
    return sent(request, "application/json", draw.choice(JSON))


def odd_xml(draw: Random, request: Request) -> Request:
    return sent(request, draw.choice(("text/xml", "application/xml", "application/soap+xml")), draw.choice(XML))


def odd_multipart(draw: Random, request: Request) -> Request:
    return sent(request, "multipart/form-data; boundary=bnd", draw.choice(MULTIPART))


def odd_form(draw: Random, request: Request) -> Request:
    return sent(request, "application/x-www-form-urlencoded", draw.choice(FORMS))


def many(draw: Random, request: Request) -> Request:
    """More arguments than the rules allow, or just fewer."""
    count = draw.choice((100, 254, 255, 256, 300))
    return sent(request, "application/x-www-form-urlencoded", b"&".join(b"a%d=%d" % (n, n) for n in range(count)))


def long(draw: Random, request: Request) -> Request:
    return sent(request, "application/x-www-form-urlencoded", b"a=" + b"x" * draw.choice((399, 400, 401, 5000)))


BODIES: tuple[Mutation, ...] = (
    media,
    media,
    no_media,
    truncated,
    appended,
    spoiled,
    spoiled,
    line_ends,
    length,
    encoded,
    odd_json,
    odd_xml,
    odd_multipart,
    odd_multipart,
    odd_form,
    many,
    long,
)
