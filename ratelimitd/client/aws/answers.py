"""What an authorizer answers: an IAM policy or `isAuthorized`, and a context for who comes after it.

Context values are text: API Gateway hands them to gateway responses, access logs and integrations as
`$context.authorizer.<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratelimitd.client import denial
from ratelimitd.client.verdict import Verdict

Context = dict[str, str | int | float | bool]
PREFIX = "ratelimitd_"

# Context key -> the header whose value it carries, for gateway responses and for `enforced`.
FIELDS = {
    PREFIX + "retry_after": "retry-after",
    PREFIX + "ratelimit": "ratelimit",
    PREFIX + "ratelimit_policy": "ratelimit-policy",
}


def context(verdict: Verdict) -> Context:
    """The keys of a verdict: decision, status, reason and title always; the others where they say something."""
    keys: Context = {
        PREFIX + "decision": verdict.decision,
        PREFIX + "status": str(200 if verdict.allowed else denial.status(verdict)),
        PREFIX + "reason": verdict.reason or "none",
        PREFIX + "title": "OK" if verdict.allowed else denial.title(verdict),
    }
    for key, name in FIELDS.items():
        value = verdict.header(name)
        if value:
            keys[key] = value
    if verdict.reason == "over_limit":
        keys[PREFIX + "limit"] = verdict.decided_by
    if verdict.reference:
        keys[PREFIX + "reference"] = verdict.reference
    return keys


def policy(principal: str, allowed: bool, resource: str, context: Context, usage_key: str = "") -> dict[str, Any]:
    """An IAM policy for one resource. `usage_key`: the key of a usage plan, for REST APIs that take it from here."""
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if allowed else "Deny",
        "Resource": resource,
    }
    answer: dict[str, Any] = {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
    if usage_key:
        answer["usageIdentifierKey"] = usage_key
    return answer


def simple(allowed: bool, context: Context) -> dict[str, Any]:
    """The simple response of HTTP APIs, payload format 2.0."""
    return {"isAuthorized": allowed, "context": context}


def stage(arn: str) -> str:
    """All methods and paths of an ARN's API and stage."""
    return "/".join(arn.split("/", 2)[:2]) + "/*"


def flat(context: Mapping[str, object]) -> Context:
    """A context of the caller's, which may hold nothing nested. Raises ValueError."""
    kept: Context = {}
    for name, value in context.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f"context: {name}: text, numbers and booleans only, not {type(value).__name__}")
        kept[name] = value
    return kept
