"""What a denied client is sent: the same as through any other door.

Problem details (RFC 9457) with the types of draft-ietf-httpapi-ratelimit-headers. Limits are named; of scans and lists
the client learns nothing but a reference.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from ratelimitd.client.verdict import Verdict

CONTENT_TYPE = "application/problem+json"
_TYPES = "https://iana.org/assignments/http-problem-types#"
_TITLES = {413: "Content Too Large"}  # as newer than some of the interpreters that we run on
_PROBLEMS = {
    "over_limit": ("quota-exceeded", "Request cannot be satisfied as assigned quota has been exceeded"),
    "overload": (
        "temporary-reduced-capacity",
        "Request cannot be satisfied due to temporary server capacity constraints",
    ),
}


def status(verdict: Verdict) -> int:
    """That of the verdict; 403 where it has none that denies."""
    return verdict.status if 400 <= verdict.status <= 599 else 403


def phrase(number: int) -> str:
    try:
        return _TITLES.get(number) or HTTPStatus(number).phrase
    except ValueError:
        return "Request Denied"


def title(verdict: Verdict) -> str:
    problem = _PROBLEMS.get(verdict.reason)
    return problem[1] if problem else phrase(status(verdict))


def body(verdict: Verdict) -> bytes:
    """JSON, in UTF-8."""
    members: dict[str, Any] = {}
    problem = _PROBLEMS.get(verdict.reason)
    if problem:
        members["type"] = _TYPES + problem[0]
    members["title"] = title(verdict)
    members["status"] = status(verdict)
    if verdict.reason == "over_limit":
        members["violated-policies"] = [s.name for s in verdict.limits if s.over and not s.shadow]
    reference = verdict.header("x-ratelimitd-reference")  # of a limit the client is told the name instead
    if reference:
        members["reference"] = reference
    return json.dumps(members, separators=(",", ":")).encode()


def headers(verdict: Verdict, content: bytes) -> list[tuple[str, str]]:
    """Those of the verdict, and what describes the body."""
    described = ("content-type", "content-length")
    kept = [(name.lower(), value) for name, value in verdict.headers if name.lower() not in described]
    return [*kept, ("content-type", CONTENT_TYPE), ("content-length", str(len(content)))]
