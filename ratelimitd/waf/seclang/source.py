"""A file of rules as it was read, and the places in it."""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_right
from dataclasses import dataclass, field

from ratelimitd.errors import Diagnostic, Position

MAX_FILE = 16 * 1024 * 1024  # bytes
MAX_TOTAL = 32 * 1024 * 1024  # bytes of all files of a rule set
MAX_FILES = 2000
MAX_REPORTED = 200  # diagnostics of a rule set
MAX_EXCERPT = 8192  # bytes of an offending line

RUNAWAY = re.compile(rb"\n[ \t]*(?:Sec[A-Z]|Include|#)")
"""In a quoted text: it was not closed, and swallows what follows."""


class UnreadableError(Exception):
    """A file that cannot be read, and why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def read_bytes(path: str) -> bytes:
    """A regular file's bytes, at most MAX_FILE. Raises UnreadableError."""
    try:
        # Not to hang on a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UnreadableError("S101", "not a regular file")
            data = stream.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError("S101", reason) from None
    if len(data) > MAX_FILE:
        raise UnreadableError("S102", f"larger than {MAX_FILE // (1024 * 1024)} MiB")
    return data


@dataclass(slots=True)
class Source:
    """Text and where its lines begin."""

    file: str
    text: bytes
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [0, *(found.end() for found in re.finditer(b"\n", self.text))]

    def position(self, offset: int) -> Position:
        """The place of a byte. Columns count characters, as editors do."""
        line = bisect_right(self.starts, offset)
        start = self.starts[line - 1]
        before = self.text[start:offset]
        column = len(before) if before.isascii() else len(before.decode("utf-8", "replace"))
        return Position(self.file, line, column + 1)

    def excerpt(self, line: int) -> str:
        """A line, counted from 1; of one too long to show, nothing."""
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return self.text[start:end].rstrip(b"\r\n").decode("utf-8", "replace") if end - start <= MAX_EXCERPT else ""


class Report:
    """Collects what is wrong, up to MAX_REPORTED, each with its line."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.sources: dict[str, Source] = {}

    @property
    def full(self) -> bool:
        """No more is told."""
        return len(self.diagnostics) >= MAX_REPORTED

    def add(self, code: str, message: str, source: Source, offset: int, hint: str = "") -> None:
        self.add_at(code, message, source.position(min(offset, len(source.text))), hint)

    def add_at(self, code: str, message: str, position: Position, hint: str = "") -> None:
        """For what is found out when the place is all that is left of the text."""
        if not self.full:
            source = self.sources.get(position.file)
            excerpt = source.excerpt(position.line) if source else ""
            self.diagnostics.append(Diagnostic(code, message, position, hint, excerpt=excerpt))


class RefusedError(Exception):
    """What stands at an offset cannot be used. Raised by the parsers of parts, told by who reads the directive."""

    def __init__(self, code: str, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.hint = code, message, offset, hint


def shown(text: bytes, limit: int = 40) -> str:
    """Bytes in an error's message."""
    cut = text[:limit].decode("utf-8", "backslashreplace")
    return f"{cut}..." if len(text) > limit else cut
