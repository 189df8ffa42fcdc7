"""A stage's input becomes the request that the suite's runner would send and a server would pass on."""

from __future__ import annotations

import base64

import pytest

from .wire import request_of, response_of


def test_headers_are_sorted_and_completed() -> None:
    request = request_of({"headers": {"User-Agent": "a", "Host": "b"}, "data": "x=<1>&y", "method": "POST"})
    assert [name for name, _ in request.headers] == [
        b"Host",
        b"User-Agent",
        b"Content-Type",
        b"Connection",
        b"Content-Length",
    ]
    assert request.body == b"x=%3C1%3E&y"
    assert request.header("content-length") == b"11"


def test_nothing_is_completed_when_told() -> None:
    request = request_of({"headers": {"Host": "b"}, "data": "x=1", "method": "POST", "autocomplete_headers": False})
    assert [name for name, _ in request.headers] == [b"Host"]
    assert request.body == b"", "a server finds no body without a length"


@pytest.mark.parametrize("data", ["x=%41", "x=a+b", "x=%4"])
def test_data_that_looks_escaped_is_left_alone(data: str) -> None:
    assert request_of({"data": data, "method": "POST"}).body == data.encode()


def test_multipart_lines_end_in_crlf() -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert request_of({"headers": headers, "data": "--b\nx", "method": "POST"}).body == b"--b\r\nx"


def test_a_raw_request_is_read_as_a_server_reads_it() -> None:
    wire = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:  y \r\n\r\n3\r\nHi \r\n3\r\nCRS\r\n0\r\n\r\n"
    request = request_of({"encoded_request": base64.b64encode(wire).decode()})
    assert (request.method, request.uri, request.version, request.body) == ("POST", b"/a", "HTTP/1.1", b"Hi CRS")
    assert request.header("x") == b"y"


def test_the_backend_reflects() -> None:
    data = '{"status": 503, "headers": {"X-A": "b"}, "body": "<html>"}'
    stage = {"method": "POST", "uri": "/reflect", "data": data, "headers": {"Content-Type": "application/json"}}
    response = response_of(request_of(stage))
    assert (response.status, response.body) == (503, b"<html>")
    assert (b"X-A", b"b") in response.headers
    assert (b"Content-Type", b"text/html; charset=utf-8") in response.headers
