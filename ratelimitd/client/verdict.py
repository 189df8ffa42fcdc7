"""What a ratelimitd answers, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


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
    "partial_body", "no_policy", "overload" or "store_lost"; `decided_by` names the limit, list, rule or
    penalty. `headers` are to be added to the response to the client. That to a response has no limits, and the
    status of an allowed one is its own.

    `error` says why there was no answer, when the verdict was made up by `on_error`; its reason is "no_answer", or
    "refused" when the limiter would not read the request.
    """

    allowed: bool
    status: int
    reason: str = ""
    decided_by: str = ""
    domain: str = ""
    limits: tuple[LimitState, ...] = ()
    matches: tuple[RuleMatch, ...] = ()
    score: int = 0
    bytes_inspected: int = 0
    inspected_all: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    reference: str = ""
    shadow_denied: bool = False
    error: str = ""

    @property
    def decision(self) -> str:
        return "allow" if self.allowed else "deny"

    @property
    def decision_in_words(self) -> str:
        return "allowed" if self.allowed else "denied"

    def header(self, name: str) -> str:
        """The value of one of `headers`, by its lower-case name; empty: it is not there."""
        return next((value for known, value in self.headers if known.lower() == name), "")

    @property
    def retry_after(self) -> int | None:
        """Seconds until a retry can pass, when the answer says so."""
        value = self.header("retry-after")
        return int(value) if value.isascii() and value.isdigit() else None
