"""What a ratelimitd answers, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimitd.v1 import ratelimit_pb2 as pb


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit that applied: hits per window (token bucket: the burst), and what is left of it after this request."""

    name: str
    limit: int
    remaining: int
    window_ms: int
    reset_after_ms: int
    over: bool
    shadow: bool
    unlimited: bool


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """One rule that matched, and where: "args:id", "header:user-agent", "path", "body"."""

    id: str
    target: str
    score: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one request.

    `reason` is "" when nothing objected, else "over_limit", "scan", "deny_list", "allow_list", "penalty",
    "partial_body", "no_policy" or "overload"; `decided_by` names the limit, list, rule or penalty. `headers` are to be
    added to the response to the client. That to a response has no limits, and the status of an allowed one is its own.
    """

    allowed: bool
    status: int
    reason: str
    decided_by: str
    domain: str
    limits: tuple[LimitState, ...]
    matches: tuple[RuleMatch, ...]
    score: int
    bytes_inspected: int
    inspected_all: bool
    headers: tuple[tuple[str, str], ...]
    reference: str
    shadow_denied: bool

    @property
    def decision(self) -> str:
        return "allow" if self.allowed else "deny"

    @property
    def retry_after(self) -> int | None:
        """Seconds until a retry can pass, when the answer says so."""
        for name, value in self.headers:
            if name.lower() == "retry-after" and value.isdigit():
                return int(value)
        return None


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
