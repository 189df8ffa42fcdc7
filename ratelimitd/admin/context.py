"""What the admin endpoints see of the process. app.py provides it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Finding(Protocol):
    """A diagnostic of the last reload (errors.Diagnostic)."""

    @property
    def code(self) -> str: ...


class Reload(Protocol):
    """The policy in force and the last attempt to change it (reload.ReloadState). Times are Unix seconds."""

    @property
    def source(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def loaded_at(self) -> float: ...
    @property
    def attempted_at(self) -> float: ...
    @property
    def ok(self) -> bool: ...
    @property
    def diagnostics(self) -> Sequence[Finding]: ...
    @property
    def successes(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def changes(self) -> Sequence[str]: ...


class Engine(Protocol):
    """The part of the engine that admin uses; see _engine.pyi."""

    def stats(self) -> dict[str, Any]: ...
    def connections(self) -> int: ...
    def lookup(
        self, domain: str, limit: str, key: Sequence[str], *, now_ns: int | None = ...
    ) -> dict[str, Any] | None: ...
    def reset(self, domain: str, limit: str, key: Sequence[str]) -> bool: ...
    def ban(self, domain: str, penalty: str, key: Sequence[str], for_ms: int) -> bool: ...
    def unban(self, domain: str, penalty: str, key: Sequence[str]) -> bool: ...
    def bans(self, limit: int = ...) -> list[Any]: ...
    def dump(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Callables read the moment they are called: the process moves on between two requests."""

    engine: Engine
    version: str
    serving: Callable[[], bool]
    reload: Callable[[], Reload]
    policy_data: Callable[[], dict[str, Any]]  # the policy in force, compiled: for programs
    policy_text: Callable[[], str]  # ... and for people
    limits: Callable[[], dict[str, dict[str, list[str]]]]  # domain -> limit -> the parts of its key
    penalties: Callable[[], dict[str, dict[str, list[str]]]]  # the same of penalties
    duration: Callable[[str], int]  # ms of "10m"; ValueError
    top: Callable[[int], dict[str, object]]
