"""What a request must be like for a listed difference to be excused, by the names that differences.yaml uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from .codings import decoded
from .message import Request
from .shared import crs_v4

Cause = Callable[[Request], bool]


def media(request: Request) -> bytes:
    return (request.header("content-type") or b"").lower()


def always(request: Request) -> bool:
    return True


def xml_body(request: Request) -> bool:
    return re.match(rb"(?:application(?:/soap\+|/)|text/)xml", media(request)) is not None


def empty_boundary(request: Request) -> bool:
    return re.search(rb'boundary\s*=\s*(?:""|;|$)', media(request)) is not None


def bodiless(request: Request) -> bool:
    """Said to be of a kind that begins with something, and empty."""
    return not request.body and (xml_body(request) or media(request).startswith(b"multipart/"))


def undecodable_body(request: Request) -> bool:
    return bool(request.body) and decoded(request) is None


def empty_when_decoded(request: Request) -> bool:
    inside = decoded(request)
    return bool(request.body) and inside is not None and not inside.body


def several_content_types(request: Request) -> bool:
    """That differ: the same kind twice is read alike, whichever is taken."""
    said = [value.strip().lower() for name, value in request.headers if name.lower() == b"content-type"]
    return len(set(said)) > 1


def texts(request: Request) -> tuple[bytes, ...]:
    return (request.uri, request.body, *(value for _, value in request.headers))


def invalid_utf8(request: Request) -> bool:
    """As it is, or when URL encoding is taken off."""
    for text in texts(request):
        try:
            unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            return True
    return False


def dropped_byte(request: Request) -> bool:
    """Null bytes, as they are or in some encoding that a transformation takes off, or bytes that are no UTF-8."""
    null = rb"\x00|%(?:25)*00|%u0000|\\(?:0|x00|u0000)|&#x?0+;?"
    return any(re.search(null, text) for text in texts(request)) or invalid_utf8(request)


def phrase_in_a_phrase(request: Request) -> bool:
    """A restricted file's name that begins within a word: ".env" in "secrets.env"."""
    names = [line.strip().lower() for line in (crs_v4() / "rules/restricted-files.data").read_bytes().splitlines()]
    text = unquote_to_bytes(request.uri.partition(b"?")[0]).lower()
    found = [(name, text.find(name)) for name in names if name and not name.startswith(b"#")]
    return any(at > 0 and text[at - 1 : at] != b"/" for _, at in found)


def compared_with_itself(request: Request) -> bool:
    """A word, an operator and the same word."""
    plain = (unquote_to_bytes(re.sub(rb"%u00(?=[0-9a-fA-F]{2})", b"%", text)) for text in texts(request))
    return any(re.search(rb"(?i)\b(\w+)\b\W+(?:is\s+not\W+|not\s+\w+\W+)?\1\b", text) for text in plain)


CAUSES: dict[str, Cause] = {
    cause.__name__: cause
    for cause in (
        always,
        bodiless,
        undecodable_body,
        empty_when_decoded,
        empty_boundary,
        several_content_types,
        invalid_utf8,
        dropped_byte,
        phrase_in_a_phrase,
        compared_with_itself,
    )
}
