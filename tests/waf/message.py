"""What an engine is shown, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

Headers = tuple[tuple[bytes, bytes], ...]


def headers(pairs: Iterable[tuple[str | bytes, str | bytes]]) -> Headers:
    """Name and value pairs in the order of the wire; text becomes UTF-8."""
    return tuple((raw(name), raw(value)) for name, value in pairs)


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Request:
    """A request as a proxy hands it on: `uri` as on the request line, `version` such as HTTP/1.1, body de-chunked."""

    method: str
    uri: bytes
    headers: Headers
    body: bytes = b""
    version: str = "HTTP/1.1"

    def header(self, name: str) -> bytes | None:
        """The first value of a header, by name in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower().encode()), None)

    def with_header(self, name: str, value: str | bytes) -> Request:
        """A copy whose headers of that name, if any, became this one, at the end."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower().encode())
        return replace(self, headers=(*kept, (name.encode(), raw(value))))

    def with_body(self, body: bytes) -> Request:
        """A copy with another body and the length of that, if a length was said."""
        changed = replace(self, body=body)
        return (
            changed if self.header("content-length") is None else changed.with_header("Content-Length", str(len(body)))
        )


@dataclass(frozen=True)
class Response:
    status: int
    headers: Headers
    body: bytes = b""
    version: str = "HTTP/1.1"


class Engine(Protocol):
    """One rule set, loaded; stateless between calls."""

    def __call__(self, request: Request, response: Response | None = None) -> frozenset[int]:
        """The ids of the rules that were logged; with a response, those of its phases too."""
