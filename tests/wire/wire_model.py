"""What the decoders must make of a message that the official runtime parsed (strings as bytes, maps as entries)."""

from __future__ import annotations

from typing import Any

from ratelimitd._ext.bytes.probe import address_parse

MAX_HEADERS, MAX_ATTRIBUTES, MAX_UINT32 = 256, 64, 2**32 - 1
PSEUDO = {b":path": "path", b":method": "method", b":authority": "host", b":scheme": "scheme"}


class Refused(Exception):  # noqa: N818
    """The message is well-formed but asks for what we do not take."""


def lower(name: bytes) -> bytes:
    return name.translate(bytes(range(65)) + bytes(range(97, 123)) + bytes(range(91, 256)))


class Draft:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.attributes: dict[bytes, bytes] = {}
        self.seen = 0
        self.pseudo: dict[str, bytes] = {}

    def header(self, name: bytes, value: bytes) -> None:
        if not name:
            return
        if name[:1] == b":":
            if name in PSEUDO:
                self.pseudo[PSEUDO[name]] = value
            return
        self.headers.append((lower(name), value))
        if len(self.headers) > MAX_HEADERS:
            raise Refused("headers")

    def attribute(self, name: bytes, value: bytes) -> None:
        self.seen += 1
        if self.seen > MAX_ATTRIBUTES:
            raise Refused("attributes")
        self.attributes[name] = value

    def last(self, name: bytes) -> bytes:
        return next((v for n, v in reversed(self.headers) if n == name), b"")

    def request(self, **fields: Any) -> dict[str, Any]:
        for name in ("method", "path", "scheme", "host"):
            fields[name] = fields[name] or self.pseudo.get(name, b"")
        fields["host"] = fields["host"] or self.last(b"host")
        fields["request_id"] = self.last(b"x-request-id") or fields.get("request_id", b"")
        return fields | {"headers": self.headers, "attributes": list(self.attributes.items())}


def envoy(check: Any) -> dict[str, Any]:
    """Headers of `headers` come before those of `header_map`, as they lie on the wire when the runtime wrote them."""
    draft, domain, cost = Draft(), b"", b"1"
    attributes = check.attributes
    if not attributes.request.HasField("http"):
        raise Refused("http")
    http = attributes.request.http
    for entry in http.headers:
        draft.header(entry.key, entry.value)
    for header in http.header_map.headers:
        draft.header(header.key, header.raw_value or header.value)
    for entry in attributes.context_extensions:
        if entry.key == b"ratelimitd_domain":
            domain = entry.value
        elif entry.key == b"ratelimitd_cost":
            cost = entry.value
            if not cost.isdigit() or int(cost) > MAX_UINT32:
                raise Refused("ratelimitd_cost")
        else:
            draft.attribute(entry.key, entry.value)
    body = http.raw_body or http.body
    partial = (b"x-envoy-auth-partial-body", b"true") in draft.headers
    return draft.request(
        domain=domain,
        source_address=attributes.source.address.socket_address.address,
        method=http.method,
        path=http.path,
        host=http.host,
        scheme=http.scheme,
        protocol=http.protocol,
        request_id=http.id,
        body=body,
        cost=int(cost),
        has_body=bool(body) or partial,
        partial_body=partial,
        dry_run=False,
        explain=False,
    )


def ours(check: Any) -> dict[str, Any]:
    draft = Draft()
    for header in check.headers:
        if not header.name:
            raise Refused("headers")
        draft.header(header.name, header.value)
    for entry in check.attributes:
        draft.attribute(entry.key, entry.value)
    if check.source_address and address_parse(check.source_address) is None:
        raise Refused("source_address")
    return draft.request(
        domain=check.domain,
        source_address=check.source_address,
        method=check.method,
        path=check.path,
        host=check.host,
        scheme=check.scheme,
        protocol=b"",
        body=check.body,
        cost=check.cost if check.HasField("cost") else 1,
        has_body=check.HasField("body"),
        partial_body=check.partial_body,
        dry_run=check.dry_run,
        explain=check.explain,
    )
