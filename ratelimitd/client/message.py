"""Requests and verdicts as messages of the gRPC contract."""

from __future__ import annotations

from collections.abc import Iterable

from ratelimitd.client.request import Request
from ratelimitd.client.response import Response
from ratelimitd.client.verdict import LimitState, RuleMatch, Verdict
from ratelimitd.v1 import ratelimit_pb2 as pb


def _headers(headers: Iterable[tuple[str, str | bytes]]) -> list[pb.Header]:
    return [pb.Header(name=n, value=v.encode() if isinstance(v, str) else v) for n, v in headers]


def encode(request: Request) -> pb.CheckRequest:
    """The message of the wire. Header values are sent as they are; text is UTF-8. Raises ValueError or TypeError."""
    return pb.CheckRequest(
        domain=request.domain,
        source_address=request.source_address,
        method=request.method,
        path=request.path,
        host=request.host,
        scheme=request.scheme,
        headers=_headers(request.headers),
        body=request.body,
        partial_body=request.partial_body,
        attributes=dict(request.attributes),
        cost=request.cost,
        dry_run=request.dry_run,
        explain=request.explain,
    )


def encode_batch(requests: Iterable[Request]) -> pb.CheckBatchRequest:
    return pb.CheckBatchRequest(requests=[encode(r) for r in requests])


def encode_inspection(request: Request, response: Response) -> pb.InspectResponseRequest:
    return pb.InspectResponseRequest(
        request=encode(request),
        status=response.status,
        headers=_headers(response.headers),
        body=response.body,
        partial_body=response.partial_body,
    )


def _reason(number: int) -> str:
    """REASON_OVER_LIMIT -> "over_limit". A reason that is newer than this client keeps its number."""
    try:
        name = pb.Reason.Name(number)
    except ValueError:
        return str(number)
    return "" if number == pb.REASON_UNSPECIFIED else name.removeprefix("REASON_").lower()


def decode(response: pb.CheckResponse | pb.InspectResponseResponse) -> Verdict:
    """The verdict of a wire message. Only DECISION_ALLOW allows: an answer that we do not know is a denial."""
    return Verdict(
        allowed=response.decision == pb.DECISION_ALLOW,
        status=response.status,
        reason=_reason(response.reason),
        decided_by=response.decided_by,
        domain=response.domain,
        limits=tuple(
            LimitState(s.name, s.limit, s.remaining, s.window_ms, s.reset_after_ms, s.over, s.shadow, s.unlimited)
            for s in (response.limits if isinstance(response, pb.CheckResponse) else ())
        ),
        matches=tuple(RuleMatch(m.id, m.target, m.score) for m in response.matches),
        score=response.score,
        bytes_inspected=response.bytes_inspected,
        inspected_all=response.inspected_all,
        headers=tuple((h.name, h.value.decode("utf-8", "replace")) for h in response.headers),
        reference=response.reference,
        shadow_denied=response.shadow_denied,
    )
