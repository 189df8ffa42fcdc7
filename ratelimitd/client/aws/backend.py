"""The function behind an authorizer with `soft_deny`: it gives the client the 429 that an authorizer cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from ratelimitd.client.aws.answers import FIELDS, PREFIX
from ratelimitd.client.denial import CONTENT_TYPE
from ratelimitd.client.outcome import complain

Handler = Callable[[Any, Any], Any]


def enforced(handler: Handler) -> Handler:
    """Wraps a handler of a REST or HTTP API's proxy integration: what the authorizer denied is answered, not handled.

    A request that no such authorizer has seen is answered 503: a route without one would let everything pass.
    """

    @wraps(handler)
    def enforcing(event: Any, context: Any) -> Any:
        decided = _context(getattr(event, "raw_event", event))
        decision = decided.get(PREFIX + "decision")
        if decision == "allow":
            return handler(event, context)
        if decision != "deny":
            complain("no ratelimitd_decision in the authorizer's context: is there an authorizer on this route?")
            decided = {PREFIX + "status": "503", PREFIX + "title": "Service Unavailable"}
        return _denied(decided)

    return enforcing


def _context(event: Any) -> Mapping[str, Any]:
    """What the authorizer said. HTTP APIs of format 2.0 put it one level deeper."""
    for name in ("requestContext", "authorizer"):
        event = event.get(name) if isinstance(event, Mapping) else None
    if isinstance(event, Mapping) and isinstance(event.get("lambda"), Mapping):
        event = event["lambda"]
    return event if isinstance(event, Mapping) else {}


def _denied(decided: Mapping[str, Any]) -> dict[str, Any]:
    text = str(decided.get(PREFIX + "status", ""))
    status = int(text) if text.isascii() and text.isdigit() and 400 <= int(text) <= 599 else 403
    problem: dict[str, Any] = {}
    if decided.get(PREFIX + "reason") == "over_limit":
        problem["type"] = "https://iana.org/assignments/http-problem-types#quota-exceeded"
    problem |= {"title": str(decided.get(PREFIX + "title", "Request Denied")), "status": status}
    if decided.get(PREFIX + "limit"):
        problem["violated-policies"] = [str(decided[PREFIX + "limit"])]
    headers = {"content-type": CONTENT_TYPE}
    headers |= {name: str(decided[key]) for key, name in FIELDS.items() if decided.get(key)}
    if decided.get(PREFIX + "reference") and PREFIX + "limit" not in decided:
        problem["reference"] = headers["x-ratelimitd-reference"] = str(decided[PREFIX + "reference"])
    return {
        "statusCode": status,
        "headers": headers,
        "body": json.dumps(problem, separators=(",", ":")),
        "isBase64Encoded": False,
    }
