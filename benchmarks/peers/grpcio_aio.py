"""The peer: the decision of the 20-limits scenario in a plain grpc.aio server, as careful Python has it.

Protobuf's C runtime parses Envoy's CheckRequest, compiled closures match limits, sliding windows (the two-bucket
estimate) live in dicts, and the answer carries the tightest limit as RateLimit fields. Listens on 127.0.0.1, any port,
and prints "port N".

    python -m benchmarks.peers.grpcio_aio
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks import scenarios

DESCRIPTORS = Path(__file__).resolve().parents[2] / "ratelimitd" / "_descriptors.binpb"
SECONDS = {"s": 1, "m": 60, "h": 3600}

Headers = Mapping[str, str]
Predicate = Callable[[Any, Headers], bool]
Key = Callable[[str, Any, Headers], str]


def messages(*names: str) -> list[Any]:
    """Message classes of what ratelimitd serves, by full name."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


CheckRequest, CheckResponse = messages("envoy.service.auth.v3.CheckRequest", "envoy.service.auth.v3.CheckResponse")


@dataclass
class Limit:
    """One limit and its counters: key -> [window number, hits before it, hits in it]."""

    name: str
    matches: tuple[Predicate, ...]
    key: tuple[Key, ...]
    limit: int
    window: int
    counters: dict[str, list[int]] = field(default_factory=dict)

    def hit(self, key: str, now: float) -> tuple[bool, int, int]:
        """Count one hit: (allowed, remaining, seconds until the window ends)."""
        number, elapsed = divmod(now, self.window)
        counter = self.counters.setdefault(key, [int(number), 0, 0])
        if counter[0] != number:
            counter[1] = counter[2] if counter[0] == number - 1 else 0
            counter[0], counter[2] = int(number), 0
        used = counter[1] * (1 - elapsed / self.window) + counter[2]
        if used + 1 > self.limit:
            return False, 0, int(self.window - elapsed)
        counter[2] += 1
        return True, int(self.limit - used - 1), int(self.window - elapsed)


def glob(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(p, re.escape(p)) for p in re.split(r"(\*\*|\*)", pattern)))


def path_predicate(pattern: str) -> Predicate:
    if "*" not in pattern:
        return lambda http, headers: http.path.partition("?")[0] == pattern
    compiled = glob(pattern)
    return lambda http, headers: compiled.fullmatch(http.path.partition("?")[0]) is not None


def header_predicate(name: str, value: str) -> Predicate:
    return lambda http, headers: headers.get(name) == value


def predicates(match: Mapping[str, Any]) -> tuple[Predicate, ...]:
    made: list[Predicate] = []
    if method := match.get("method"):
        made.append(lambda http, headers: http.method == method)
    if host := match.get("host"):
        made.append(lambda http, headers: http.host == host)
    if path := match.get("path"):
        made.append(path_predicate(path))
    prefix = "header."
    made += [header_predicate(k.removeprefix(prefix), value) for k, value in match.items() if k.startswith(prefix)]
    return tuple(made)


def key_part(name: str) -> Key:
    if name == "client.ip":
        return lambda client, http, headers: client
    if name == "method":
        return lambda client, http, headers: str(http.method)
    header = name.removeprefix("header.")
    return lambda client, http, headers: headers.get(header, "")


def compile_limit(name: str, written: Mapping[str, Any]) -> Limit:
    parts = written["key"] if isinstance(written["key"], list) else [written["key"]]
    window = int(written["window"][:-1]) * SECONDS[written["window"][-1]]
    return Limit(name, predicates(written.get("match", {})), tuple(map(key_part, parts)), written["limit"], window)


LIMITS = [compile_limit(name, written) for name, written in scenarios.limits(20).items()]


def client_address(peer: str, headers: Headers) -> str:
    """The last X-Forwarded-For entry when the peer is a trusted proxy (10.0.0.0/8)."""
    forwarded = headers.get("x-forwarded-for")
    return forwarded.rpartition(",")[2].strip() if forwarded and peer.startswith("10.") else peer


def decide(request: Any) -> Any:
    http = request.attributes.request.http
    headers = http.headers
    client = client_address(request.attributes.source.address.socket_address.address, headers)
    now = time.time()
    tightest: tuple[int, int, Limit] | None = None
    for limit in LIMITS:
        if not all(matches(http, headers) for matches in limit.matches):
            continue
        allowed, remaining, reset = limit.hit("|".join(part(client, http, headers) for part in limit.key), now)
        if not allowed:
            return deny(limit, reset)
        if tightest is None or remaining < tightest[0]:
            tightest = (remaining, reset, limit)
    return allow(tightest)


def allow(tightest: tuple[int, int, Limit] | None) -> Any:
    response = CheckResponse()
    response.status.code = 0
    response.ok_response.SetInParent()
    if tightest:
        remaining, reset, limit = tightest
        add = response.ok_response.response_headers_to_add
        policy = f'"{limit.name}";q={limit.limit};w={limit.window}'
        for name, value in (("ratelimit", f'"{limit.name}";r={remaining};t={reset}'), ("ratelimit-policy", policy)):
            header = add.add().header
            header.key, header.value = name, value
    return response


def deny(limit: Limit, reset: int) -> Any:
    response = CheckResponse()
    response.status.code = 8
    response.denied_response.status.code = 429
    header = response.denied_response.headers.add().header
    header.key, header.value = "retry-after", str(reset)
    response.denied_response.body = f"over {limit.name}"
    return response


async def check(request: Any, context: object) -> Any:
    return decide(request)


async def serve() -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=CheckRequest.FromString, response_serializer=CheckResponse.SerializeToString
    )
    _, service, method = scenarios.CHECK.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"port {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
