"""What API Gateway asks a Lambda authorizer, whichever of its five kinds of event it sends.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from ratelimitd.client.address import AddressError, Headers, bare, client, forwarded

_PATH = "/:@!$&'()*+,;=~%"  # what a path may have; where it was encoded it stays so

Kind = Literal["rest-token", "rest-request", "http-1.0", "http-2.0", "websocket"]


class EventError(ValueError):
    """No event of a kind that we know, or one without what such an event always has.

    `arn`: what it asks about, as far as that is known. `refused`: the client may have caused it.
    """

    def __init__(self, message: str, arn: str = "", refused: bool = False) -> None:
        super().__init__(message)
        self.arn = arn
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Event:
    """One authorizer event.

    `arn` is what an answer allows or denies. `path` is as the client sent it as far as API Gateway tells, with the
    query. `source_address` is empty for "rest-token" only: such an event has nothing but the token. `route` is the
    route or resource that matched ("/pets/{id}", "GET /pets/{id}", "$connect"). `raw` is the event itself.
    """

    kind: Kind
    arn: str
    method: str
    path: str
    host: str = ""
    source_address: str = ""
    headers: Headers = field(default_factory=list)
    token: str = ""
    route: str = ""
    stage: str = ""
    api_id: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


def parse(event: object, hops: int = 0) -> Event:
    """Reads any of the five. `hops`: proxies of ours before API Gateway (CloudFront: 1). Raises EventError."""
    if not isinstance(event, Mapping):
        raise EventError(f"an event is an object, not {type(event).__name__}")
    kind = _kind(event)
    try:
        if kind == "rest-token":
            return _token(event)
        return _http_2(event, hops) if kind == "http-2.0" else _request(event, kind, hops)
    except (EventError, AddressError, UnicodeError) as error:
        known = _known_arn(event.get("routeArn" if kind == "http-2.0" else "methodArn"))
        raise EventError(f"{kind}: {error}", known, not isinstance(error, EventError)) from None


def _kind(event: Mapping[str, Any]) -> Kind:
    said, version = event.get("type"), event.get("version")
    if said == "TOKEN":
        return "rest-token"
    if said == "REQUEST":
        if version == "2.0":
            return "http-2.0"
        context = event.get("requestContext")
        if isinstance(context, Mapping) and (context.get("eventType") or context.get("connectionId")):
            return "websocket"
        if version == "1.0":
            return "http-1.0"
        if version is None:
            return "rest-request"
    raise EventError(f"no authorizer event that we know: type {said!r:.40}, version {version!r:.40}")


def _text(holder: Mapping[str, Any], name: str, needed: bool = False) -> str:
    value = holder.get(name)
    if isinstance(value, str) and (value or not needed):
        return value
    if value is None and not needed:
        return ""
    raise EventError(f"{name}: expected text, not {value!r:.40}")


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise EventError(f"{name}: expected an object, not {type(value).__name__}")
    return value


def _pairs(event: Mapping[str, Any], many: str, one: str) -> Iterator[tuple[str, str]]:
    """Names and values of the multi-value form, else of the plain one, where an empty value may be null."""
    values = _object(event, many)
    for name, listed in (values or _object(event, one)).items():
        for value in listed if values and isinstance(listed, list) else (listed,):
            if not isinstance(value, str | None):
                raise EventError(f"{many if values else one}: {name}: expected text, not {type(value).__name__}")
            yield name, value or ""


def _known_arn(arn: object) -> str:
    """An ARN of execute-api that names a stage and more; else empty."""
    parts = arn.split(":", 5) if isinstance(arn, str) else []
    good = len(parts) == 6 and parts[0] == "arn" and parts[2] == "execute-api" and parts[5].count("/") >= 2
    return str(arn) if good else ""


def _arn(event: Mapping[str, Any], name: str) -> tuple[str, list[str]]:
    """An ARN of execute-api and its parts: API, stage, method (or the route of a WebSocket), path."""
    arn = _known_arn(event.get(name))
    if not arn:
        raise EventError(f"{name}: no ARN of execute-api: {event.get(name)!r:.100}")
    return arn, [*arn.split(":", 5)[5].split("/", 3), ""][:4]


def _token(event: Mapping[str, Any]) -> Event:
    arn, (api_id, stage, method, path) = _arn(event, "methodArn")
    token = _text(event, "authorizationToken", needed=True)
    return Event(
        kind="rest-token",
        arn=arn,
        method=method,
        path="/" + quote(path, safe=_PATH),
        headers=[("authorization", token)],
        token=token,
        stage=stage,
        api_id=api_id,
        raw=event,
    )


def _request(event: Mapping[str, Any], kind: Kind, hops: int) -> Event:
    arn, (api_id, stage, _, _) = _arn(event, "methodArn")
    context = _object(event, "requestContext")
    headers: Headers = list(_pairs(event, "multiValueHeaders", "headers"))
    query = "&".join(
        f"{quote(name)}={quote(value)}"
        for name, value in _pairs(event, "multiValueQueryStringParameters", "queryStringParameters")
    )
    path = quote(_text(event, "path", needed=kind != "websocket") or "/", safe=_PATH)
    source, headers = _identified(_text(_object(context, "identity"), "sourceIp"), headers, hops)
    return Event(
        kind=kind,
        arn=arn,
        method=_text(event, "httpMethod", needed=kind != "websocket") or "GET",
        path=f"{path}?{query}" if query else path,
        host=_text(context, "domainName") or _first(headers, "host"),
        source_address=source,
        headers=headers,
        token=_first(headers, "authorization"),
        route=_text(context, "routeKey") or _text(event, "resource"),
        stage=_text(context, "stage") or stage,
        api_id=_text(context, "apiId") or api_id,
        raw=event,
    )


def _http_2(event: Mapping[str, Any], hops: int) -> Event:
    arn, (api_id, stage, _, _) = _arn(event, "routeArn")
    context = _object(event, "requestContext")
    http = _object(context, "http")
    headers: Headers = list(_pairs(event, "multiValueHeaders", "headers"))
    cookies = event.get("cookies") or []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise EventError("cookies: expected a list of texts")
    if cookies and not _first(headers, "cookie"):
        headers.append(("cookie", "; ".join(cookies)))
    path, query = _text(event, "rawPath", needed=True), _text(event, "rawQueryString")
    source, headers = _identified(_text(http, "sourceIp"), headers, hops)
    return Event(
        kind="http-2.0",
        arn=arn,
        method=_text(http, "method", needed=True),
        path=f"{path}?{query}" if query else path,
        host=_text(context, "domainName") or _first(headers, "host"),
        source_address=source,
        headers=headers,
        token=_first(headers, "authorization"),
        route=_text(context, "routeKey"),
        stage=_text(context, "stage") or stage,
        api_id=_text(context, "apiId") or api_id,
        raw=event,
    )


def _identified(peer: str, headers: Headers, hops: int) -> tuple[str, Headers]:
    """The client and the headers to ask with. API Gateway's own entry of X-Forwarded-For is the peer: one hop more."""
    if not peer:
        raise EventError("requestContext: sourceIp is missing")
    return client(peer, headers, hops + 1 if hops and _last(headers) == peer else hops)


def _last(headers: Headers) -> str:
    entries = forwarded(headers)
    return bare(entries[-1]) if entries else ""


def _first(headers: Headers, name: str) -> str:
    return next((str(value) for known, value in headers if known.lower() == name), "")
