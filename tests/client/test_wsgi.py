"""What the frameworks do not show: the input of the application, paths, and failures, by bare WSGI."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd.client import CheckError, Request, Verdict
from ratelimitd.client.wsgi import RateLimitMiddleware, _Replay

ALLOW = Verdict(allowed=True, status=200, headers=(("ratelimit", '"a";r=1;t=1'),))
DENY = Verdict(allowed=False, status=429, reason="over_limit", headers=(("retry-after", "7"),))


class Client:
    def __init__(self, verdict: Verdict | Exception = ALLOW) -> None:
        self.verdict = verdict
        self.asked: list[Request] = []

    def check(self, request: Request) -> Verdict:
        self.asked.append(request)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def environ(body: bytes = b"", **changes: Any) -> dict[str, Any]:
    base = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b?",
        "QUERY_STRING": "q=1",
        "REMOTE_ADDR": "10.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "shop.example",
        "HTTP_X_A": "\xff",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
    }
    return {k: v for k, v in (base | changes).items() if v is not None}


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("a", "b")])
    length = environ.get("CONTENT_LENGTH")
    return [environ["wsgi.input"].read(int(length)) if length else environ["wsgi.input"].read()]


def run(middleware: RateLimitMiddleware, of: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    started: list[Any] = []
    body = b"".join(middleware(of, lambda *a: started.append(a)))
    (said,) = started
    return said[0], dict(said[1]), body


def test_requests_are_told_as_they_came() -> None:
    client = Client()
    middleware = RateLimitMiddleware(echo, client, on_error="deny", attributes=lambda e: {"plan": "gold"})
    status, headers, body = run(middleware, environ(b"abc"))
    (asked,) = client.asked
    assert (asked.method, asked.path, asked.host) == ("POST", "/a%20b%3F?q=1", "shop.example")
    assert (asked.source_address, asked.scheme, asked.attributes) == ("10.0.0.1", "http", {"plan": "gold"})
    assert sorted(asked.headers) == [
        ("content-length", b"3"),
        ("content-type", b"text/plain"),
        ("host", b"shop.example"),
        ("x-a", b"\xff"),
    ]
    assert (asked.body, asked.partial_body) == (b"abc", False)
    assert (status, headers, body) == ("200 OK", {"a": "b", "ratelimit": '"a";r=1;t=1'}, b"abc")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"RAW_URI": "/a%2Fb?x=%20"}, "/a%2Fb?x=%20"),
        ({"REQUEST_URI": "/a%2Fb"}, "/a%2Fb"),
        ({"RAW_URI": "http://shop.example/a"}, "/a%20b%3F?q=1"),
        ({"PATH_INFO": "", "QUERY_STRING": ""}, "/"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/\xc3\xa9", "QUERY_STRING": "a=\xff"}, "/app/%C3%A9?a=%FF"),
    ],
)
def test_paths(changes: dict[str, str], path: str) -> None:
    client = Client()
    run(RateLimitMiddleware(echo, client, on_error="deny"), environ(**changes))
    assert client.asked[0].path == path


@pytest.mark.parametrize("limit", [1, 4, 5, 6])
@pytest.mark.parametrize("known", [True, False])
def test_the_application_finds_its_body_whole(limit: int, known: bool) -> None:
    client = Client()
    changes = (
        {} if known else {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    )
    middleware = RateLimitMiddleware(echo, client, on_error="deny", body_limit=limit)
    assert run(middleware, environ(b"abcde", **changes))[2] == b"abcde"
    assert (client.asked[0].body, client.asked[0].partial_body) == (b"abcde"[:limit], limit < 5)


def test_a_body_without_an_end_is_left_alone() -> None:
    """Where the server does not mark its end, reading would wait forever."""
    client = Client()
    of = environ(CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked")
    of["wsgi.input"] = None
    RateLimitMiddleware(lambda e, s: [], client, on_error="deny")(of, None)
    assert client.asked[0].body is None


@pytest.mark.parametrize("length", ["-1", "x", "1 ", "٣"])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    client = Client()
    assert run(RateLimitMiddleware(echo, client, on_error="allow"), environ(CONTENT_LENGTH=length))[0].startswith("400")
    assert client.asked == []


OPERATIONS = st.lists(st.tuples(st.sampled_from(["read", "readline"]), st.integers(-1, 9) | st.none()), max_size=12)


@given(st.binary(max_size=30).map(lambda b: b.replace(b"\0", b"\n")), st.integers(0, 30), OPERATIONS)
def test_what_was_read_ahead_is_read_again(body: bytes, ahead: int, operations: list[Any]) -> None:
    """The replay does what a file does that nobody has read from."""
    replay, file = _Replay(body[:ahead], BytesIO(body[ahead:])), BytesIO(body)
    for name, size in operations:
        assert getattr(replay, name)(size) == getattr(file, name)(size)
    assert replay.read() == file.read()
    assert b"".join(_Replay(body[:ahead], BytesIO(body[ahead:]))) == body
    assert _Replay(body[:ahead], BytesIO(body[ahead:])).readlines() == BytesIO(body).readlines()


def test_denials() -> None:
    status, headers, body = run(RateLimitMiddleware(echo, Client(DENY), on_error="deny"), environ())
    assert status == "429 Too Many Requests"
    assert headers["retry-after"] == "7"
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["content-length"]) == len(body)
    assert json.loads(body)["status"] == 429
    assert run(RateLimitMiddleware(echo, Client(DENY), on_error="deny"), environ(REQUEST_METHOD="HEAD"))[2] == b""


@pytest.mark.parametrize(
    ("error", "on_error", "status"),
    [
        (CheckError("a", "UNAVAILABLE", "gone"), "allow", "200 OK"),
        (CheckError("a", "UNAVAILABLE", "gone"), "deny", "503 Service Unavailable"),
        (CheckError("a", "INVALID_ARGUMENT", "odd"), "allow", "400 Bad Request"),
        (CheckError("a", "TOO_LARGE", "large"), "allow", "413 Content Too Large"),
        (RuntimeError("a fault of ours"), "allow", "503 Service Unavailable"),
    ],
    ids=str,
)
def test_failures(error: Exception, on_error: Any, status: str) -> None:
    said, _, body = run(RateLimitMiddleware(echo, Client(error), on_error=on_error), environ())
    assert said == status
    assert b"gone" not in body
    assert b"fault" not in body


def test_exempt_paths_are_not_checked() -> None:
    client = Client(DENY)
    middleware = RateLimitMiddleware(echo, client, on_error="deny", exempt=["/healthz"])
    assert run(middleware, environ(PATH_INFO="/healthz"))[0] == "200 OK"
    assert client.asked == []


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="must be"):
        RateLimitMiddleware(echo, Client(), on_error="raise")  # type: ignore[arg-type]
