"""A function that is a target of an Application Load Balancer: each event is checked, with its body, before it runs.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from ratelimitd.client import denial
from ratelimitd.client.address import AddressError, Headers, client, forwarded
from ratelimitd.client.aws.authorizer import MARGIN_SECONDS, Asks
from ratelimitd.client.outcome import CheckError, OnError, complain, made_up, settle, validate
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

Handler = Callable[[Any, Any], Any]


def guarded(
    limiter: Asks,
    *,
    on_error: OnError,
    trusted_hops: int = 1,
    body_limit: int = 64 << 10,
    domain: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Callable[[Handler], Handler]:
    """A decorator. Denied requests are answered (429, 403); the others are handled, and RateLimit fields added.

    `on_error`: without a verdict "allow", "deny" (503) or "raise" (the client gets a 502 from the balancer).
    `trusted_hops` counts the balancer itself. `body_limit`: bytes of the body that are sent along; more is cut off and
    said so. The balancer's health checks, which are nobody's request, are answered 200 here.
    """
    validate(on_error)

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def guarding(event: Any, context: Any) -> Any:
            raw = getattr(event, "raw_event", event)
            many = isinstance(raw, Mapping) and "multiValueHeaders" in raw
            try:
                request = _request(raw, trusted_hops, body_limit, domain, attributes or {})
                if request is None:
                    return _answer(200, [("content-type", "text/plain")], "healthy", many)
                verdict = _asked(limiter, request, on_error, context)
            except (AddressError, TypeError, ValueError) as error:
                failure = CheckError("target event", "INVALID_ARGUMENT", str(error))
                complain(f"the request is refused: {failure}")
                verdict = made_up(failure, "deny")
            if not verdict.allowed:
                body = denial.body(verdict)
                return _answer(denial.status(verdict), denial.headers(verdict, body), body.decode(), many)
            return _with_headers(handler(event, context), verdict, many)

        return guarding

    return decorate


def _asked(limiter: Asks, request: Request, on_error: OnError, context: Any) -> Verdict:
    left = getattr(context, "get_remaining_time_in_millis", None)
    timeout = limiter.timeout if left is None else min(limiter.timeout, left() / 1000 - MARGIN_SECONDS)
    try:
        return limiter.check(request, timeout=timeout)
    except CheckError as error:
        return settle(error, on_error)


def _request(event: Any, hops: int, body_limit: int, domain: str, attributes: Mapping[str, str]) -> Request | None:
    """None: a health check. Raises ValueError or TypeError for what is no target event."""
    elb = event.get("requestContext", {}).get("elb") if isinstance(event, Mapping) else None
    if not isinstance(elb, Mapping):
        raise ValueError("no event of a load balancer: requestContext.elb is missing")
    many = "multiValueHeaders" in event
    headers: Headers = _pairs(event, "multiValueHeaders" if many else "headers")
    if not forwarded(headers) and _first(headers, "user-agent").startswith("ELB-HealthChecker/"):
        return None
    # Names and values of the query are as the client sent them: a balancer decodes nothing.
    pairs = _pairs(event, "multiValueQueryStringParameters" if many else "queryStringParameters")
    query = "&".join(f"{name}={value}" for name, value in pairs)
    source, headers = client("", headers, hops) if hops else ("", headers)
    body, partial = _body(event, body_limit)
    return Request(
        method=event["httpMethod"] if isinstance(event.get("httpMethod"), str) else "GET",
        path=f"{event.get('path') or '/'}{'?' if query else ''}{query}",
        source_address=source,
        host=_first(headers, "host"),
        scheme=_first(headers, "x-forwarded-proto"),
        headers=headers,
        body=body,
        partial_body=partial,
        attributes=attributes,
        domain=domain,
    )


def _pairs(event: Mapping[str, Any], name: str) -> list[Any]:
    values = event.get(name) or {}
    if not isinstance(values, Mapping):
        raise ValueError(f"{name}: expected an object")
    return [
        (key, item or "") for key, value in values.items() for item in (value if isinstance(value, list) else [value])
    ]


def _first(headers: Headers, name: str) -> str:
    return next((str(value) for known, value in headers if known.lower() == name), "")


def _body(event: Mapping[str, Any], limit: int) -> tuple[bytes | None, bool]:
    """The beginning of the body, and whether more follows."""
    text = event.get("body")
    if not text or limit <= 0:
        return None, bool(text)
    if not isinstance(text, str):
        raise ValueError("body: expected text")
    whole = b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
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
