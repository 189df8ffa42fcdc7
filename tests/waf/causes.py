"""What a request must be like for a listed difference to be excused, by the names that differences.yaml uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .message import Request

Cause = Callable[[Request], bool]


def media(request: Request) -> bytes:
    return (request.header("content-type") or b"").lower()


def always(request: Request) -> bool:
    return True


def xml_body(request: Request) -> bool:
    return re.match(rb"(?:application(?:/soap\+|/)|text/)xml", media(request)) is not None


def json_body(request: Request) -> bool:
    return re.match(rb"application/(?:[a-z0-9.-]+\+)?json", media(request)) is not None


def invalid_json(request: Request) -> bool:
    try:
        json.loads(request.body)
    except ValueError:
        return json_body(request)
    return False


def multipart_body(request: Request) -> bool:
    return media(request).startswith(b"multipart/form-data")


def encoded_body(request: Request) -> bool:
    """Said to be compressed: libmodsecurity inspects the bytes as they are, we what is in them."""
    return (request.header("content-encoding") or b"identity") != b"identity"


def confused_body(request: Request) -> bool:
    """The bytes look like another kind than the content type says, so that we read them both ways."""
    body = request.body.lstrip(b"\xef\xbb\xbf \t\r\n")
    kinds = ((json_body, b"{["), (xml_body, b"<"), (multipart_body, b"-"))
    return any(body[:1] in first and not kind(request) for kind, first in kinds if body)


def no_body(request: Request) -> bool:
    return not request.body


def empty_boundary(request: Request) -> bool:
    return re.search(rb'boundary\s*=\s*(?:""|;|$)', media(request)) is not None


def repeated_content_type(request: Request) -> bool:
    return sum(name.lower() == b"content-type" for name, _ in request.headers) > 1


def invalid_utf8(request: Request) -> bool:
    texts = (request.uri, request.body, *(value for _, value in request.headers))
    for text in texts:
        try:
            text.decode()
        except UnicodeDecodeError:
            return True
    return False


def null_byte(request: Request) -> bool:
    """As it is, or in some encoding that a transformation takes off."""
    texts = (request.uri, request.body, *(value for _, value in request.headers))
    return any(re.search(rb"\x00|%(?:25)*00|%u0000|\\(?:0|x00|u0000)|&#x?0+;?", text) for text in texts)


def repeated_header(request: Request) -> bool:
    names = [name.lower() for name, _ in request.headers]
    return len(set(names)) < len(names)


CAUSES: dict[str, Cause] = {
    cause.__name__: cause
    for cause in (
        always,
        xml_body,
        json_body,
        invalid_json,
        multipart_body,
        encoded_body,
        no_body,
        empty_boundary,
        repeated_content_type,
        confused_body,
        invalid_utf8,
        null_byte,
        repeated_header,
    )
}
