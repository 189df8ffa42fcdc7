"""What a server answered, for the rules that look at responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ratelimitd.client.request import Request, encode
from ratelimitd.v1 import ratelimit_pb2 as pb


@dataclass(frozen=True, slots=True)
class Response:
    """One response to inspect. `body` as sent, with its content coding; `partial_body`: it is only the beginning."""

    status: int = 200
    headers: Iterable[tuple[str, str | bytes]] = ()
    body: bytes = b""
    partial_body: bool = False


def encode_inspection(request: Request, response: Response) -> pb.InspectResponseRequest:
    """The message of the wire. Header values are sent as they are; text is UTF-8."""
    headers = [pb.Header(name=n, value=v.encode() if isinstance(v, str) else v) for n, v in response.headers]
    return pb.InspectResponseRequest(
        request=encode(request),
        status=response.status,
        headers=headers,
        body=response.body,
        partial_body=response.partial_body,
    )
