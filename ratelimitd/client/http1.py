"""One question by HTTP/1.1 and its answer, as bytes (RFC 9112): no sockets, so that both HTTP clients read alike.

What the standard library has for this blocks, and waits for each read anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_HEAD = 64 << 10  # bytes of an answer's headers
MAX_BODY = 1 << 20  # bytes of an answer

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class AnswerError(Exception):
    """These bytes are no answer."""


def question(authority: str, path: str, body: bytes) -> bytes:
    """A POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nUser-Agent: ratelimitd-client\r\n\r\n"
    )
    return head.encode("ascii") + body


class Answer:
    """What is answered to one POST, read as it comes.

    `has_begun`: something came. `status`, `body` and `keeps` (may the connection be used again?) hold once `feed` has
    said True.
    """

    __slots__ = ("_buffer", "_left", "_step", "body", "has_begun", "is_whole", "keeps", "status")

    def __init__(self) -> None:
        self.status = 0
        self.body = bytearray()
        self.keeps = False
        self.has_begun = False
        self.is_whole = False
        self._buffer = bytearray()
        self._left = 0
        self._step: Callable[[], bool] = self._head

    def feed(self, data: bytes) -> bool:
        """Takes what came; nothing, when that was the end. Is the answer whole? Raises AnswerError."""
        if data:
            self.has_begun = True
            self._buffer += data
        while not self.is_whole and self._step():
            pass
        if not data and not self.is_whole:
            if self._step != self._until_end:
                raise AnswerError("it ends too early")
            self.is_whole = True
        if self.is_whole and self._buffer:  # nobody asked for more
            self.keeps = False
        return self.is_whole

    def _line(self, limit: int) -> bytes | None:
        """What stands before the next CRLF, once it is there."""
        end = self._buffer.find(b"\r\n", 0, limit + 2)
        if end < 0:
            if len(self._buffer) >= limit + 2:
                raise AnswerError(f"a line is longer than {limit} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD or not b"HTTP/1.".startswith(self._buffer[:7]):
                raise AnswerError(f"it does not begin as HTTP/1.1 does: {bytes(self._buffer[:40])!r}")
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status = _STATUS.fullmatch(first)
        if status is None:
            raise AnswerError(f"it does not begin as HTTP/1.1 does: {first[:40]!r}")
        self.status = int(status[2])
        if self.status < 200:
            if self.status == 101:
                raise AnswerError("it switches protocols")
            return True  # the final answer follows
        self._framed(status[1] == b"1", [_field(line) for line in lines])
        return True

    def _framed(self, is_current: bool, fields: list[tuple[bytes, bytes]]) -> None:
        """How long the body is, and whether the connection goes on (RFC 9112, 6.3 and 9.3)."""

        def all_of(name: bytes) -> list[bytes]:
            return [item.strip().lower() for known, value in fields if known == name for item in value.split(b",")]

        lengths, codings, options = all_of(b"content-length"), all_of(b"transfer-encoding"), all_of(b"connection")
        self.keeps = b"close" not in options and (is_current or b"keep-alive" in options)
        if self.status in (204, 304):
            self.is_whole = True
        elif codings:
            if codings != [b"chunked"] or lengths:
                raise AnswerError("it is framed in two ways, or in one that is not known")
            self._step = self._chunk
        elif lengths:
            if len(set(lengths)) > 1 or not lengths[0].isdigit():
                raise AnswerError(f"its length is {b','.join(lengths)[:40]!r}")
            self._expect(int(lengths[0][:20]))
            self._step = self._counted
        else:
            self.keeps = False
            self._step = self._until_end

    def _expect(self, size: int) -> None:
        self._left = size
        if len(self.body) + size > MAX_BODY:
            raise AnswerError(f"it is longer than {MAX_BODY} bytes")

    def _take(self) -> bool:
        """Moves to the body what is there of `_left`. Is that all?"""
        self.body += self._buffer[: self._left]
        taken = min(self._left, len(self._buffer))
        del self._buffer[:taken]
        self._left -= taken
        return self._left == 0

    def _counted(self) -> bool:
        self.is_whole = self._take()
        return False

    def _chunk(self) -> bool:
        line = self._line(256)
        if line is None:
            return False
        size = _SIZE.fullmatch(line)
        if size is None:
            raise AnswerError(f"a chunk has the size {line[:40]!r}")
        self._expect(int(size[1], 16))
        self._step = self._chunk_data if self._left else self._trailer
        return True

    def _chunk_data(self) -> bool:
        if not self._take():
            return False
        line = self._line(0)
        if line is None:
            return False
        self._step = self._chunk
        return True

    def _trailer(self) -> bool:
        line = self._line(MAX_HEAD)
        self.is_whole = line == b""
        return line is not None

    def _until_end(self) -> bool:
        self._expect(len(self._buffer))
        self._take()
        return False


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise AnswerError(f"this is no header: {line[:40]!r}")
    return found[1].lower(), found[2]
