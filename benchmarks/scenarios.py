"""The seeded scenarios: policies, and the requests that they are asked about.

One request serves every scenario: an Envoy CheckRequest of about 640 bytes with 12 headers, encoded here field by
field, so that it depends on no generated code. Its client address and API key have a fixed width: load.cc writes other
keys over them.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

SEED = 20_240_501
CHECK = "/envoy.service.auth.v3.Authorization/Check"
SHOULD_RATE_LIMIT = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
RATE_LIMIT_DOMAIN = "edge"
PLENTY = 4_000_000_000  # a limit that no run reaches: what is timed is counting, not denying

CLIENT = "203.113.107.199"  # as wide as every address that load.cc writes
API_KEY = "key-0000000042"
PATH = "/shop/v1/orders"

Limit = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One gRPC frame and where its keys stand: (offset, width, "ip" | "dec")."""

    method: str
    frame: bytes
    client_at: tuple[int, int, str]
    api_key_at: tuple[int, int, str]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: bytes | str | int) -> bytes:
    """One protobuf field: a varint, or a length-delimited one."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(number: int, key: str, value: str) -> bytes:
    """One entry of a map<string, string>."""
    return field(number, field(1, key) + field(2, value))


def peer(address: str, port: int) -> bytes:
    return field(1, field(1, field(2, address) + field(3, port)))


HEADERS = (
    (":authority", "shop.example.com"),
    (":method", "GET"),
    (":path", PATH + "?page=2&sort=price"),
    (":scheme", "https"),
    ("accept", "application/json, text/plain, */*"),
    ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("x-api-key", API_KEY),
    ("x-envoy-internal", "true"),
    ("x-forwarded-for", CLIENT),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "5c1f3c52-7d5d-4a0c-9a0e-0d6f5a3d2b11"),
)


def framed(http: bytes) -> bytes:
    """The gRPC frame of a CheckRequest about an HttpRequest that came through a proxy."""
    request = field(1, field(1, 1_714_521_600) + field(2, 5_000_000)) + field(2, http)
    attributes = field(1, peer("10.0.0.7", 40_312)) + field(2, peer("10.0.3.9", 8443)) + field(4, request)
    message = field(1, attributes)
    return struct.pack(">BI", 0, len(message)) + message


def envoy_request() -> Request:
    """GET /shop/v1/orders from CLIENT through a trusted proxy, as Envoy 1.40 asks about it."""
    http = field(1, "4611686018427387904") + field(2, "GET")
    http += b"".join(entry(3, name, value) for name, value in HEADERS)
    http += field(4, PATH + "?page=2&sort=price") + field(5, "shop.example.com") + field(6, "https")
    http += field(10, "HTTP/2")
    frame = framed(http)
    digits = len(API_KEY) - len("key-")
    return Request(
        CHECK,
        frame,
        (frame.index(CLIENT.encode()), len(CLIENT), "ip"),
        (frame.index(API_KEY.encode()) + len("key-"), digits, "dec"),
    )


def rate_limit_request() -> Request:
    """Three descriptors, as a route of Envoy's sends them: the client, the client at this route, the API key."""
    described = [
        [("remote_address", CLIENT)],
        [("route", "orders"), ("remote_address", CLIENT)],
        [("api_key", API_KEY)],
    ]
    message = field(1, RATE_LIMIT_DOMAIN)
    message += b"".join(
        field(2, b"".join(field(1, field(1, key) + field(2, value)) for key, value in entries)) for entries in described
    )
    frame = struct.pack(">BI", 0, len(message)) + message
    at = (frame.index(CLIENT.encode()), len(CLIENT), "ip")
    return Request(SHOULD_RATE_LIMIT, frame, at, (frame.index(API_KEY.encode()) + 4, len(API_KEY) - 4, "dec"))


def rate_limit_config() -> dict[str, Any]:
    """envoyproxy/ratelimit's configuration for it: what applies, beside routes and plans that do not."""

    def limit(unit: str) -> dict[str, Any]:
        return {"unit": unit, "requests_per_unit": PLENTY}

    routes = ["orders", "users", "carts", "search", "login", "media", "reviews", "coupons", "stock"]
    by_client = [{"key": "remote_address", "rate_limit": limit("minute")}]
    return {
        "domain": RATE_LIMIT_DOMAIN,
        "descriptors": [
            {"key": "remote_address", "rate_limit": limit("hour")},
            *({"key": "route", "value": route, "descriptors": by_client} for route in routes),
            {"key": "api_key", "rate_limit": limit("day")},
            {"key": "api_key", "value": "internal-*", "rate_limit": {"unlimited": True}},
        ],
    }


def matching_limits() -> dict[str, Limit]:
    """The three that the request meets: every request, a tree of paths, one route."""
    return {
        "per-ip": {"key": "client.ip", "limit": PLENTY, "window": "1h"},
        "per-key": {"match": {"path": "/shop/**"}, "key": "header.x-api-key", "limit": PLENTY, "window": "10m"},
        "orders": {
            "match": {"method": "GET", "path": PATH},
            "key": ["header.x-api-key", "method"],
            "limit": PLENTY,
            "window": "1m",
        },
    }


def other_limit(rng: random.Random, number: int) -> Limit:
    """A limit as teams write them, that the request does not meet: by route, tree, host, header or method."""
    noun = rng.choice(["users", "carts", "search", "login", "media", "reviews", "coupons", "stock"])
    match: dict[str, Any] = rng.choice(
        [
            {"path": f"/api/v{rng.randint(1, 3)}/{noun}/{number}"},
            {"path": f"/tenants/t{number}/**"},
            {"path": f"/shop/v1/{noun}/{number}/*"},
            {"host": f"{noun}-{number}.example.com"},
            {"method": rng.choice(["POST", "PUT", "DELETE"]), "path": f"/{noun}/{number}"},
            {"header.x-tenant": f"t{number}"},
        ]
    )
    key = rng.choice(["client.ip", "header.x-api-key", ["client.ip", "header.x-api-key"]])
    return {"match": match, "key": key, "limit": rng.choice([5, 100, 1000]), "window": rng.choice(["30s", "1m", "1h"])}


def limits(count: int) -> dict[str, Limit]:
    """`count` limits of which three match; the three stand at random places among the others."""
    rng = random.Random(SEED)
    named = [(f"other-{n}", other_limit(rng, n)) for n in range(count - 3)]
    for name, limit in matching_limits().items():
        named.insert(rng.randint(0, len(named)), (name, limit))
    return dict(named)


def token_buckets(count: int) -> dict[str, Limit]:
    """The same limits, the matching ones as token buckets."""
    named = limits(count)
    for name in matching_limits():
        limit = named[name]
        del limit["limit"], limit["window"]
        limit |= {"algorithm": "token_bucket", "rate": "1000000/s", "burst": PLENTY}
    return named


# Fragments of what attacks look like. Each rule takes two or three of them, so that the databases are of a real size.
FRAGMENTS = (
    r"union\s+(?:all\s+)?select", r"insert\s+into\s+\w+", r"drop\s+(?:table|database)", r"sleep\s*\(\s*\d+",
    r"benchmark\s*\(", r"waitfor\s+delay", r"information_schema", r"xp_cmdshell", r"load_file\s*\(",
    r"into\s+(?:out|dump)file", r"<script[^>]*>", r"javascript\s*:", r"\bon(?:error|load|click|focus)\s*=",
    r"document\s*\.\s*cookie", r"<iframe[^>]*src", r"(?:\.\./){2,}", r"/etc/(?:passwd|shadow)",
    r"\.(?:git|svn|env)/?", r"wp-(?:admin|login|config)", r"boot\.ini", r"\$\{jndi:(?:ldap|rmi|dns)", r"<\?php",
    r"\beval\s*\(", r"base64_decode\s*\(", r"\bsystem\s*\(", r"(?:;|\||&&)\s*(?:cat|ls|id|wget|curl)\b",
    r"/bin/(?:ba)?sh", r"cmd\.exe", r"powershell\s+-", r"nc\s+-e", r"\{\{.*\}\}", r"<!entity", r"<!doctype[^>]*\[",
    r"\bfile://", r"\bgopher://", r"169\.254\.169\.254", r"metadata\.google", r"__proto__", r"constructor\s*\[",
    r"O:\d+:\"", r"sqlmap", r"nikto", r"nessus", r"masscan", r"acunetix",
)  # fmt: skip


def pattern_rules(count: int) -> list[dict[str, Any]]:
    """`count` rules over arguments, path, and user agent, of which none matches the request."""
    rng = random.Random(SEED)
    targets = (["args"], ["args", "path"], ["headers:user-agent"], ["args", "body"], ["cookies"], ["query"])
    transformations = (["url_decode_uni", "lowercase"], ["url_decode", "html_entity_decode"], ["lowercase"])
    return [
        {
            "id": f"bench-{n}",
            "patterns": rng.sample(FRAGMENTS, rng.randint(2, 3)),
            "targets": rng.choice(targets),
            "transformations": rng.choice(transformations),
            "score": rng.randint(2, 5),
        }
        for n in range(count)
    ]


def policy(named: dict[str, Limit], rules: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "version": 1,
        "domain": "bench",
        "client": {"trusted_proxies": ["10.0.0.0/8"]},
        "limits": named,
    }
    if rules:
        document["scan"] = {"mode": "block", "rules": rules}
    return document


def policies() -> dict[str, dict[str, Any]]:
    """Every policy by scenario name."""
    return {
        "limits20": policy(limits(20)),
        "limits10k": policy(limits(10_000)),
        "rules50": policy(limits(20), pattern_rules(50)),
        "buckets20": policy(token_buckets(20)),
    }


def write_policy(document: dict[str, Any], target: Path) -> Path:
    yaml = YAML(typ="safe")
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its default is wrongly typed
    with target.open("w") as file:
        yaml.dump(document, file)
    return target


def write_all(directory: Path) -> dict[str, Path]:
    """Every policy as NAME.yaml and the request's frame as request.bin."""
    paths = {name: write_policy(document, directory / f"{name}.yaml") for name, document in policies().items()}
    paths["request"] = directory / "request.bin"
    paths["request"].write_bytes(envoy_request().frame)
    return paths
