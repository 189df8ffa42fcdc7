"""What becomes of a request for which there is no verdict."""

from __future__ import annotations

import logging
import threading
import time
from typing import Literal

from ratelimitd.client.verdict import Verdict

OnError = Literal["allow", "deny", "raise"]

NO_ANSWER = "no_answer"
REFUSED = "refused"

# Codes that blame the request. Whoever sends requests could choose to get them, so no outcome may let those pass.
_REFUSALS = {"INVALID_ARGUMENT": 400, "OUT_OF_RANGE": 400, "TOO_LARGE": 413}

log = logging.getLogger("ratelimitd")


class CheckError(Exception):
    """No verdict: `code` is the name of a gRPC status ("UNAVAILABLE", "DEADLINE_EXCEEDED", ...), or "TOO_LARGE"."""

    def __init__(self, address: str, code: str, details: str) -> None:
        super().__init__(f"{address}: {code}: {details}")
        self.address = address
        self.code = code
        self.details = details

    @property
    def refused(self) -> bool:
        """The limiter was there, but would not read this request."""
        return self.code in _REFUSALS


def validate(on_error: str, accepted: tuple[str, ...] = ("allow", "deny", "raise")) -> None:
    """Raises ValueError with what would be accepted."""
    if on_error not in accepted:
        raise ValueError(f"on_error={on_error!r}: must be one of {', '.join(accepted)}")


def made_up(error: Exception, on_error: str) -> Verdict:
    """The verdict in place of one that is missing: 503, or what `on_error` says. Of a refused request: 400 or 413.

    Only "allow" allows, and only when the request had no part in the failure.
    """
    refused = isinstance(error, CheckError) and error.refused
    allowed = on_error == "allow" and not refused
    status = _REFUSALS[error.code] if isinstance(error, CheckError) and refused else 503
    return Verdict(
        allowed=allowed,
        status=200 if allowed else status,
        reason=REFUSED if refused else NO_ANSWER,
        headers=() if allowed or refused else (("retry-after", "1"),),
        error=str(error),
    )


def settle(error: Exception, on_error: str) -> Verdict:
    """`made_up`, and a line in the log (logger "ratelimitd"). Raises the error for "raise"."""
    if on_error == "raise":
        raise error
    verdict = made_up(error, on_error)
    complain(f"no verdict, so the request is {verdict.decision_in_words}: {error}")
    return verdict


class _Complaints:
    """One line a second: an outage of the limiter shall not become one of the logs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._untold = 0

    def tell(self, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                self._untold += 1
                return
            untold, self._untold, self._next = self._untold, 0, now + 1
        log.warning("%s%s", text, f" (and {untold} more since the last such line)" if untold else "")


_complaints = _Complaints()


def complain(text: str) -> None:
    """A warning in the log."""
    _complaints.tell(text)
