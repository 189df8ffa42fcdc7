"""The head of a request bent: its line, its headers, its cookies, its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from ..message import Request

Mutation = Callable[[Random, Request], Request]


def without(request: Request, name: str) -> Request:
    return replace(request, headers=tuple(pair for pair in request.headers if pair[0].lower() != name.lower().encode()))


def missing(draw: Random, request: Request) -> Request:
    return without(request, draw.choice(("Host", "User-Agent", "Accept", "Content-Length", "Content-Type")))


def empty(draw: Random, request: Request) -> Request:
    return request.with_header(draw.choice(("Host", "User-Agent", "Accept", "Referer", "Cookie", "X-Empty")), "")


def doubled(draw: Random, request: Request) -> Request:
    """One header twice, the second perhaps another value."""
    if not request.headers:
        return request
    name, value = draw.choice(request.headers)
    return replace(request, headers=(*request.headers, (draw.choice((name, name.upper())), draw.choice((value, b"x")))))


ODD = (
    ("Host", "127.0.0.1"),
    ("Host", "shop.example.com:80:80"),
    ("Host", "[::1]:8080"),
    ("Range", "bytes=0-1,2-3,4-5,6-7,8-9,10-11"),
    ("Range", "bytes=0-"),
    ("Range", "bytes=5-1"),
    ("Connection", "keep-alive, close"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Encoding", "zip"),
    ("Accept", "*/*;q=0.8, text/<html>"),
    ("Accept-Charset", "utf-8, utf-7"),
    ("Accept-Encoding", "gzip, *;q=0"),
    ("Proxy", "http://x.example"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/admin"),
    ("Upgrade", "h2c"),
    ("If-None-Match", "*"),
    ("Cache-Control", "no-cache, max-age=abc"),
    ("User-Agent", "sqlmap/1.7"),
    ("User-Agent", "() { :;}; echo vulnerable"),
    ("Content-Type", "%{(#_='multipart/form-data')}"),
    ("X-Long", "a" * 600),
    ("x_under.score", "1"),
    ("Expect", "100-continue"),
    ("X-File-Name", "shell.php"),
    ("Sec-Fetch-User", "?2"),
)


def odd(draw: Random, request: Request) -> Request:
    return request.with_header(*draw.choice(ODD))


COOKIES = (
    "a",
    "a=",
    "=b",
    ";",
    "a=1;b=2",
    "a=1,b=2",
    "a=1; a=2; a=<script>",
    '$Version=1; a="b; c"; $Path=/',
    "a=%3Cscript%3E",
    "a=b=c==",
    " a = b ; c",
    "a='; drop table x--",
    "a=\xff",
    "__Host-a=1; phpsessid=..%2f",
    "a.b[c]=d",
)


def cookies(draw: Random, request: Request) -> Request:
    return request.with_header("Cookie", draw.choice(COOKIES))


def method(draw: Random, request: Request) -> Request:
    return replace(
        request, method=draw.choice(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "FOO"))
    )


def version(draw: Random, request: Request) -> Request:
    return replace(request, version=draw.choice(("HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/2.0", "HTTP/3", "HTTP/0.9")))


ARGUMENTS = (
    b"?",
    b"??a=1",
    b"?a",
    b"?=",
    b"?a=1&a=2&a[]=3",
    b"?a=1;b=2",
    b"?a=%",
    b"?%00=%00",
    b"?a=b#c",
    b"#?a=1",
    b"?a+b=c+d",
)


def arguments(draw: Random, request: Request) -> Request:
    return replace(request, uri=request.uri.partition(b"?")[0] + draw.choice(ARGUMENTS))


PATHS = (
    b"//a",
    b"/a/../b",
    b"/./a",
    b"/a%2fb",
    b"/a%00.php",
    b"/a;b=c/d",
    b"/\\a\\b",
    b"http://x.example/a?b=c",
    b"/a.bak",
    b"/.git/config",
    b"/a.php/b.jpg",
    b"/%7euser/",
    b"/a%",
    b"*",
    b"/%c0%ae%c0%ae/",
    b"/wp-config.php~",
)


def path(draw: Random, request: Request) -> Request:
    return replace(request, uri=draw.choice(PATHS) + b"?" + request.uri.partition(b"?")[2])


FIELDS: tuple[Mutation, ...] = (
    missing,
    empty,
    doubled,
    odd,
    odd,
    odd,
    cookies,
    cookies,
    method,
    version,
    arguments,
    path,
)
