"""What a server answered, for the rules that look at responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """One response to inspect. `body` as sent, with its content coding; `partial_body`: it is only the beginning."""

    status: int = 200
    headers: Iterable[tuple[str, str | bytes]] = ()
    body: bytes = b""
    partial_body: bool = False
