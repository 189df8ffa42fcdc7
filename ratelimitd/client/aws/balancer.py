"""A function that is a target of an Application Load Balancer: each event is checked, with its body, before it runs.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from ratelimitd.client import denial
from ratelimitd.client.address import Headers, forwarded
from ratelimitd.client.aws.authorizer import Asks, time_left
from ratelimitd.client.guard import BODY_LIMIT, Guard, encoded, first
from ratelimitd.client.outcome import CheckError, OnError
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

Handler = Callable[[Any, Any], Any]


def guarded(
    limiter: Asks,
    *,
    on_error: OnError,
    trusted_hops: int | None = 1,
    body_limit: int = BODY_LIMIT,
    domain: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Callable[[Handler], Handler]:
    """A decorator. Denied requests are answered (429, 403); the others are handled, and RateLimit fields added.

    `on_error`: without a verdict "allow", "deny" (503) or "raise" (the client gets a 502 from the balancer).
    `trusted_hops` counts the balancer itself. `body_limit`: bytes of the body that are sent along; more is cut off and
    said so. The balancer's health checks, which are nobody's request, are answered 200 here.
    """
    guard = Guard(on_error, trusted_hops, body_limit, domain, may_raise=True)

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def guarding(event: Any, context: Any) -> Any:
            raw = getattr(event, "raw_event", event)
            many = isinstance(raw, Mapping) and "multiValueHeaders" in raw
            try:
                headers = _headers(raw)
                if _is_health_check(headers):
                    return _answer(200, [("content-type", "text/plain")], "healthy", many)
                request = _request(raw, headers, guard, attributes or {})
                verdict = limiter.check(request, timeout=time_left(context, limiter.timeout))
            except Exception as error:
                verdict = guard.failed(error)
            if not verdict.allowed:
                body = denial.body(verdict)
                return _answer(denial.status(verdict), denial.headers(verdict, body), body.decode(), many)
            return _with_headers(handler(event, context), verdict, many)

        return guarding

    return decorate


def _headers(event: Any) -> Headers:
    """Raises CheckError for what is no target event."""
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    if not isinstance(context, Mapping) or not isinstance(context.get("elb"), Mapping):
        raise _refusal("no event of a load balancer: requestContext.elb is missing")
    return [*_pairs(event, "multiValueHeaders" if "multiValueHeaders" in event else "headers")]


def _refusal(message: str) -> CheckError:
    return CheckError("target event", "INVALID_ARGUMENT", message)


def _is_health_check(headers: Headers) -> bool:
    return not forwarded(headers) and first(headers, "user-agent").startswith("ELB-HealthChecker/")


def _request(event: Mapping[str, Any], headers: Headers, guard: Guard, attributes: Mapping[str, str]) -> Request:
    many = "multiValueHeaders" in event
    # Names and values of the query are as the client sent them: a balancer decodes nothing.
    pairs = _pairs(event, "multiValueQueryStringParameters" if many else "queryStringParameters")
    query = "&".join(f"{name}={value}" for name, value in pairs)
    method, path = event.get("httpMethod"), event.get("path")
    if not isinstance(method, str) or not isinstance(path, str):
        raise _refusal("httpMethod and path: expected text")
    body, partial = _body(event, guard.body_limit)
    return guard.request(
        method=method,
        path=encoded((f"{path}?{query}" if query else path).encode("utf-8", "surrogatepass")),
        peer="",  # an event does not tell
        scheme=first(headers, "x-forwarded-proto"),
        headers=headers,
        body=body,
        partial_body=partial,
        attributes=attributes,
    )


def _pairs(event: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    values = event.get(name) or {}
    if not isinstance(values, Mapping):
        raise _refusal(f"{name}: expected an object")
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        for item in value if isinstance(value, list) else (value,):
            if not isinstance(item, str | None):
                raise _refusal(f"{name}: {key}: expected text")
            pairs.append((key, item or ""))
    return pairs


def _body(event: Mapping[str, Any], limit: int) -> tuple[bytes | None, bool]:
    """The beginning of the body, and whether more follows."""
    text = event.get("body")
    if not text or not limit:
        return None, False
    if not isinstance(text, str):
        raise _refusal("body: expected text")
    try:
        whole = b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError as error:
        raise _refusal(f"body: {error}") from None
    return whole[:limit], len(whole) > limit


def _answer(status: int, headers: list[tuple[str, str]], body: str, many: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "statusCode": status,
        "statusDescription": f"{status} {denial.phrase(status)}",
        "isBase64Encoded": False,
        "body": body,
    }
    if many:
        answer["multiValueHeaders"] = {name: [value] for name, value in headers}
    else:
        answer["headers"] = dict(headers)
    return answer


def _with_headers(answer: Any, verdict: Verdict, many: bool) -> Any:
    """The handler's answer with the verdict's fields, in the form that the balancer reads."""
    if not isinstance(answer, Mapping) or not verdict.headers:
        return answer
    name = "multiValueHeaders" if many else "headers"
    added = {key: [value] if many else value for key, value in verdict.headers}
    return {**answer, name: {**(answer.get(name) or {}), **added}}
