"""Coded errors. Imports nothing of ours.

A code is stable: tools and docs refer to it. An error says where (file:line:col) and, where it can, what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a policy file: 1-based line and column."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong with a policy.

    `code` is stable ("P101"); `message` says what is wrong in one line; `hint` says what to do ("did you mean
    'window'?"); `excerpt` is the offending line as it was read (the file may have changed since).
    """

    code: str
    message: str
    position: Position | None = None
    hint: str = ""
    severity: str = "error"  # "error" | "warning"
    excerpt: str = ""

    def __str__(self) -> str:
        where = f"{self.position}: " if self.position else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.severity}[{self.code}]: {self.message}{hint}"


class RatelimitdError(Exception):
    """Base of every error that we raise."""


class SettingsError(RatelimitdError):
    """A process setting is unusable; the message names the flag and the environment variable."""


@dataclass
class PolicyError(RatelimitdError):
    """A policy cannot be used. Holds every diagnostic, never only the first.

    `watched`: patterns of the paths that it depends on beside its own files.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)
    watched: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.diagnostics)) or "bad policy"


@dataclass(frozen=True, slots=True)
class BadPattern:
    """A pattern that the engine cannot compile, as in the plan. `rule`: the id of its rule; empty: a condition's."""

    pattern: bytes
    message: str
    rule: bytes = b""
    domain: bytes = b""
    place: str = ""  # file:line of its rule


class EngineError(RatelimitdError):
    """The native engine refused: an address in use, out of memory, a plan it cannot build.

    `patterns`: when patterns are to blame, every bad one of the plan.
    """

    def __init__(self, message: str = "", patterns: Iterable[BadPattern] = ()) -> None:
        super().__init__(message)
        self.patterns = tuple(patterns)
