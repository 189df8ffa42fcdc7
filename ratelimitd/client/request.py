"""What a caller asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ratelimitd.v1 import ratelimit_pb2 as pb


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


def encode(request: Request) -> pb.CheckRequest:
    """The message of the wire. Header values are sent as they are; text is UTF-8."""
    headers = [pb.Header(name=n, value=v.encode() if isinstance(v, str) else v) for n, v in request.headers]
    return pb.CheckRequest(
        domain=request.domain,
        source_address=request.source_address,
        method=request.method,
        path=request.path,
        host=request.host,
        scheme=request.scheme,
        headers=headers,
        body=request.body,
        partial_body=request.partial_body,
        attributes=dict(request.attributes),
        cost=request.cost,
        dry_run=request.dry_run,
        explain=request.explain,
    )
