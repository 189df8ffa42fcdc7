"""The values that a request has, by plan.Source: what the native attributes compute, in plain Python. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ratelimitd.policy.plan import Cidr, Client, Source
from ratelimitd.policy.request import Request

MAX_ENTRIES = 64  # of the client header that are looked at
MAPPED = bytes(10) + b"\xff\xff"  # what an IPv4 address begins with
_BLANKS = b" \t"


def get(request: Request, client: Client, source: Source, name: bytes = b"") -> bytes | None:
    """The value of a source, or None when the request has none. Path parameters belong to a match: see `path_param`."""
    match source:
        case Source.CONSTANT:
            return name
        case Source.CLIENT_IP:
            return client_text(request, client)
        case Source.METHOD:
            return request.method or None
        case Source.SCHEME:
            return request.scheme or None
        case Source.HOST:
            return normalize_host(request.host) or None
        case Source.PATH:
            return normalize_path(split_target(request.path)[0]) if request.path else None
        case Source.RAW_PATH:
            return split_target(request.path)[0] if request.path else None
        case Source.HEADER:
            return _first(request.headers, name)
        case Source.ATTRIBUTE:
            return _first(request.attributes, name)
        case Source.QUERY:
            return _first(query_pairs(split_target(request.path)[1]), name)
        case Source.COOKIE:
            return _first(cookie_pairs(request), name)
        case _:
            return None


def _first(pairs: Iterator[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...], name: bytes) -> bytes | None:
    return next((value for key, value in pairs if key == name), None)


def query_pairs(query: bytes) -> Iterator[tuple[bytes, bytes]]:
    for pair in filter(None, query.split(b"&")):
        name, _, value = pair.partition(b"=")
        yield url_decode(name.replace(b"+", b" ")), url_decode(value.replace(b"+", b" "))


def cookie_pairs(request: Request) -> Iterator[tuple[bytes, bytes]]:
    """Of all Cookie headers, as sent."""
    for header, line in request.headers:
        if header == b"cookie":
            for pair in filter(None, (piece.strip(_BLANKS) for piece in line.split(b";"))):
                name, _, value = pair.partition(b"=")
                yield name.strip(_BLANKS), value.strip(_BLANKS)


def url_decode(text: bytes) -> bytes:
    """Percent-decodes once; a broken escape stays as it is."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text)


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """The path and the query of a raw request target, which may be an absolute URI."""
    target = target.partition(b"#")[0]
    if origin := re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*", target):
        target = target[origin.end() :]
    path, _, query = target.partition(b"?")
    return path, query


def normalize_path(raw: bytes) -> bytes:
    """RFC 3986 section 5.2.4 on decoded bytes, "//" collapsed; always begins with "/"."""
    segments: list[bytes] = []
    pieces = url_decode(raw).split(b"/")
    for piece in pieces:
        if piece == b"..":
            segments = segments[:-1]
        elif piece not in (b"", b"."):
            segments.append(piece)
    ends_below = pieces[-1] in (b"", b".", b"..") and segments
    return b"/" + b"/".join(segments) + (b"/" if ends_below else b"")


def normalize_host(host: bytes) -> bytes:
    """Lower-case, without the port and a trailing dot. An IPv6 address keeps its brackets."""
    if host.startswith(b"[") and b"]" in host:
        host = host[: host.index(b"]") + 1]
    elif not host.startswith(b"[") and host.count(b":") == 1:
        host = host.partition(b":")[0]
    return host.removesuffix(b".").lower()


def parse_address(text: bytes) -> bytes | None:
    """16 bytes (IPv4 mapped) of an address with an optional port and zone and surrounding blanks, or None."""
    text = text.strip(_BLANKS)
    if found := re.fullmatch(rb"\[([^\]]*)\](?::([0-9]{1,5}))?", text):
        text, port = found[1], found[2]
        if b":" not in text:
            return None
    elif found := re.fullmatch(rb"([0-9.]+):([0-9]{1,5})", text):
        text, port = found[1], found[2]
    else:
        port = None
    if port is not None and int(port) > 65535:
        return None
    if re.fullmatch(rb"[^%]*:[^%]*%[^%]+", text):
        text = text.partition(b"%")[0]
    try:
        address = ipaddress.ip_address(text.decode())
    except ValueError:
        return None
    return address.packed if address.version == 6 else MAPPED + address.packed


def contains(cidr: Cidr, address: bytes) -> bool:
    return mask(cidr.address, cidr.prefix) == mask(address, cidr.prefix)


def mask(address: bytes, prefix: int) -> bytes:
    """Keeps the first prefix bits of 128."""
    drop = 128 - prefix
    return (int.from_bytes(address, "big") >> drop << drop).to_bytes(16, "big")


def format_address(address: bytes) -> str:
    """The canonical text (RFC 5952)."""
    if address.startswith(MAPPED):
        return str(ipaddress.IPv4Address(address[12:]))
    return str(ipaddress.IPv6Address(address))


def client_address(request: Request, client: Client) -> bytes | None:
    """Whose request it is: 16 bytes, or None when not even the peer is an address.

    Walks the client header from its right end, where the proxies nearest to us wrote. With `hops`, that many entries
    are our own proxies' (when there are fewer: the leftmost). Else an entry is believed while the address so far, the
    peer to begin with, is in a trusted network. An entry that is no address ends the walk; blank ones are skipped.
    Headers other than x-forwarded-for hold one value: one step. At most MAX_ENTRIES entries are looked at.
    """
    current = parse_address(request.source_address)
    if not client.hops and not client.trusted:
        return current
    steps = (client.hops or MAX_ENTRIES) if client.header == b"x-forwarded-for" else 1
    lines = [value for name, value in request.headers if name == client.header]
    entries = [entry for line in reversed(lines) for entry in reversed(line.split(b","))]
    for entry in entries[:MAX_ENTRIES]:
        if not entry.strip(_BLANKS):
            continue
        believed = client.hops or (current is not None and any(contains(cidr, current) for cidr in client.trusted))
        address = parse_address(entry)
        if steps == 0 or not believed or address is None:
            break
        current = address
        steps -= 1
    return current


def client_text(request: Request, client: Client) -> bytes | None:
    """The address as keys have it: masked to the client's prefix, canonical."""
    address = client_address(request, client)
    if address is None:
        return None
    prefix = 96 + client.ipv4_prefix if address.startswith(MAPPED) else client.ipv6_prefix
    return format_address(mask(address, prefix)).encode()
