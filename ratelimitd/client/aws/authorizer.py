"""A Lambda authorizer: one handler for REST (TOKEN, REQUEST), HTTP (1.0, 2.0) and WebSocket APIs.

    from ratelimitd.client import HttpClient
    from ratelimitd.client.aws import authorizer

    handler = authorizer(HttpClient("limiter.internal:8081", timeout=0.1), on_error="deny")

An authorizer sees no body, and an answer that API Gateway caches is not asked for again: give it a TTL of 0, or charge
for what is cached (`lease`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ratelimitd.client.aws import answers
from ratelimitd.client.aws.events import Event, EventError, parse
from ratelimitd.client.outcome import CheckError, OnError, complain, settle, validate
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

# Left of the function's time for everything that is not the call.
MARGIN_SECONDS = 0.02

Handler = Callable[[Any, Any], dict[str, Any]]


class Asks(Protocol):
    """HttpClient, Client, or a stand-in for them."""

    @property
    def timeout(self) -> float: ...
    def check(self, request: Request, *, timeout: float | None = None) -> Verdict: ...


def time_left(context: Any, timeout: float) -> float:
    """The client's own deadline, or what is left of the function's time, in seconds."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return timeout if left is None else min(timeout, left() / 1000 - MARGIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as `authenticate` found out.

    `attributes` go to the policy (`attribute.plan`), `context` to the integration, `usage_key` to a REST API's usage
    plan.
    """

    principal: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    usage_key: str = ""


class Unauthorized(Exception):  # noqa: N818  (API Gateway answers 401 to an error of exactly this text)
    def __init__(self) -> None:
        super().__init__("Unauthorized")


def authorizer(
    client: Asks,
    *,
    on_error: OnError,
    authenticate: Callable[[Event], Identity | None] | None = None,
    soft_deny: bool = False,
    lease: int = 1,
    scope: Literal["method", "stage"] = "method",
    http_api: Literal["simple", "iam"] = "simple",
    trusted_hops: int = 0,
    domain: str = "",
) -> Handler:
    """A handler for Lambda, of any of the five kinds of event.

    `on_error`: without a verdict "allow", "deny", or "raise" (the client gets a 500). What a client can cause is denied
    all the same. `authenticate` tells who asks; None is answered 401, and so is an error whose text is "Unauthorized";
    others deny. `soft_deny` lets denied requests through with `ratelimitd_decision` = "deny" in the context, for
    `enforced` behind it to answer 429. `lease`: hits charged for each answer, where API Gateway caches them. `scope`:
    what a policy allows; with a cache, "method" allows only the method and path that asked. `http_api`: what HTTP APIs
    of format 2.0 are set to expect.
    `trusted_hops`: proxies of ours before API Gateway.
    """
    validate(on_error)
    if lease < 1:
        raise ValueError(f"lease={lease}: must be 1 or more hits")
    door = _Door(client, on_error, authenticate, soft_deny, lease, scope, http_api, trusted_hops, domain)
    return door.answer


@dataclass(frozen=True, slots=True)
class _Door:
    client: Asks
    on_error: OnError
    authenticate: Callable[[Event], Identity | None] | None
    soft_deny: bool
    lease: int
    scope: str
    http_api: str
    trusted_hops: int
    domain: str

    def answer(self, event: Any, context: Any = None) -> dict[str, Any]:
        event = getattr(event, "raw_event", event)  # of aws-lambda-powertools
        try:
            asked = parse(event, self.trusted_hops)
        except EventError as error:
            return self._unreadable(event, error)
        identity = self._identify(asked)
        if identity is None:
            return self._said(asked, _DENIED, Identity("unknown"))
        request = Request(
            method=asked.method,
            path=asked.path,
            source_address=asked.source_address,
            host=asked.host,
            scheme="https",
            headers=asked.headers,
            attributes=self._attributes(asked, identity),
            cost=None if self.lease == 1 else self.lease,
            domain=self.domain,
        )
        try:
            verdict = self.client.check(request, timeout=time_left(context, self.client.timeout))
        except CheckError as error:
            verdict = settle(error, self.on_error)
        except Exception as error:  # a fault of ours lets nobody pass
            complain(f"no verdict, so the request is denied: {type(error).__name__}: {error}")
            verdict = _DENIED
        return self._said(asked, verdict, identity)

    def _identify(self, asked: Event) -> Identity | None:
        """None: it could not be found out, and the request is denied. Raises Unauthorized."""
        if self.authenticate is None:
            return Identity(asked.source_address or "anonymous")
        try:
            identity = self.authenticate(asked)
            if identity is not None:
                _check(identity)
        except Exception as error:
            if str(error) == "Unauthorized":  # as authorizers say it
                raise Unauthorized from None
            complain(f"authenticate failed, so the request is denied: {type(error).__name__}: {error}")
            return None
        if identity is None:
            raise Unauthorized
        return identity

    def _attributes(self, asked: Event, identity: Identity) -> dict[str, str]:
        known = {"api_id": asked.api_id, "stage": asked.stage, "route": asked.route}
        if self.authenticate is not None:
            known["principal"] = identity.principal
        return {name: value for name, value in known.items() if value} | dict(identity.attributes)

    def _said(self, asked: Event, verdict: Verdict, identity: Identity) -> dict[str, Any]:
        context = answers.flat(identity.context) | answers.context(verdict)
        # A request that nobody could identify is not one that the backend should see.
        allowed = verdict.allowed or (self.soft_deny and verdict is not _DENIED)
        if asked.kind == "http-2.0" and self.http_api == "simple":
            return answers.simple(allowed, context)
        resource = answers.stage(asked.arn) if allowed and self.scope == "stage" else asked.arn
        return answers.policy(identity.principal, allowed, resource, context, identity.usage_key)

    def _unreadable(self, event: Any, error: EventError) -> dict[str, Any]:
        """`on_error` decides about an event that lacks something; one that is none at all allows nothing.

        Nor does one of which nobody can say who asks, when that matters.
        """
        failure = CheckError("authorizer event", "INVALID_ARGUMENT" if error.refused else "UNKNOWN", str(error))
        decidable = error.arn and self.authenticate is None
        verdict = settle(failure, self.on_error if decidable or self.on_error == "raise" else "deny")
        context = answers.context(verdict)
        if self.http_api == "simple" and isinstance(event, Mapping) and event.get("version") == "2.0":
            return answers.simple(verdict.allowed, context)
        return answers.policy("unknown", verdict.allowed, error.arn or "*", context)


def _check(identity: Identity) -> None:
    """Raises ValueError, AttributeError or TypeError for what could not be told to the limiter or to API Gateway."""
    answers.flat(identity.context)
    texts = (identity.principal, identity.usage_key, *identity.attributes, *identity.attributes.values())
    if not identity.principal or not all(isinstance(text, str) for text in texts):
        raise ValueError("an identity: expected a principal, and texts alone as attributes")


_DENIED = Verdict(allowed=False, status=403, reason="no_answer")
