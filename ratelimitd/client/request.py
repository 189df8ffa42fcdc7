"""What a caller asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One request to decide. `path` is raw, with the query; headers keep their order and their duplicates.

    `cost`: hits to charge; None is 1, 0 looks without counting. `partial_body`: `body` is only the beginning of what
    was sent.
    """

    method: str = "GET"
    path: str = "/"
    source_address: str = ""
    host: str = ""
    scheme: str = ""
    headers: Iterable[tuple[str, str | bytes]] = ()
    body: bytes | None = None
    partial_body: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    cost: int | None = None
    domain: str = ""
    dry_run: bool = False
    explain: bool = False
