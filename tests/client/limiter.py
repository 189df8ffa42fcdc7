"""A real engine for the clients to ask: as it serves, and through a JSON door of the tests that watches and fails."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format

from ratelimitd._engine import Engine
from ratelimitd.policy import load_text
from ratelimitd.v1 import ratelimit_pb2 as pb

POLICY = """\
version: 1
domain: shop
limits:
  login:
    match: {method: POST, path: /login}
    key: client.ip
    limit: 2
    window: 1h
  per-token: {match: {header.authorization: {present: true}}, key: header.authorization, limit: 3, window: 1h}
  sockets: {match: {attribute.route: $connect}, key: client.ip, limit: 2, window: 1h}
  per-principal: {match: {attribute.principal: {present: true}}, key: attribute.principal, limit: 100, window: 1h}
  uploads: {match: {path: /upload}, key: client.ip, limit: 1000, window: 1h}
  leased: {match: {attribute.route: /leased}, key: client.ip, limit: 25, window: 1h}
scan:
  mode: block
  rules:
    - {id: 1001, targets: [args, body, "headers:x-original-forwarded-for"], pattern: evil, action: deny}
"""


PLAIN = ("status", "decided_by", "score", "bytes_inspected", "inspected_all", "reference", "shadow_denied", "domain")


class Limiter:
    """`grpc` is the server's own address, `http` that of a door of the tests' own before the same engine.

    `asked`: what came through that door, as messages.
    """

    def __init__(self, policy: str = POLICY, address: str = "127.0.0.1:0") -> None:
        self.engine = Engine(workers=1, max_keys=4096)
        self.engine.swap(load_text(policy).plan)
        self.grpc = self.engine.listen(address)
        self.engine.start()
        self.asked: list[pb.CheckRequest] = []
        self.connections = 0
        self.faults: list[Any] = []  # what to do instead of answering: a status, bytes, or None to hang up
        self.server = _server(self)
        self.http = f"127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.engine.stop()


def decide(engine: Engine, request: pb.CheckRequest) -> pb.CheckResponse:
    """A check in process, by messages."""
    asked: dict[str, Any] = {
        "domain": request.domain,
        "source_address": request.source_address,
        "method": request.method,
        "path": request.path,
        "host": request.host,
        "scheme": request.scheme,
        "headers": [(h.name, h.value) for h in request.headers],
        "attributes": dict(request.attributes),
        "partial_body": request.partial_body,
        "dry_run": request.dry_run,
        "explain": request.explain,
    }
    if request.HasField("body"):
        asked["body"] = request.body
    if request.HasField("cost"):
        asked["cost"] = request.cost
    said = engine.check(asked)
    reason = said["reason"]
    return pb.CheckResponse(
        decision=f"DECISION_{said['decision'].upper()}",  # type: ignore[arg-type]
        reason=f"REASON_{reason.upper()}" if reason else 0,  # type: ignore[arg-type]
        limits=[pb.LimitState(**{f: s[f] for f in pb.LimitState.DESCRIPTOR.fields_by_name}) for s in said["limits"]],
        matches=[pb.RuleMatch(**{f: m[f] for f in pb.RuleMatch.DESCRIPTOR.fields_by_name}) for m in said["matches"]],
        headers=[pb.Header(name=n, value=v.encode()) for n, v in said["headers"]],
        **{name: said[name] for name in PLAIN},
    )


def _server(limiter: Limiter) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # an answer is one segment

        def setup(self) -> None:
            super().setup()
            limiter.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if limiter.faults:
                fault = limiter.faults.pop(0)
                if fault is None:
                    self.close_connection = True
                elif isinstance(fault, int):
                    self.say(fault, b'{"message":"as you wish"}')
                else:
                    self.say(200, fault)
                return
            try:
                request = json_format.Parse(body, pb.CheckRequest())
            except json_format.ParseError as error:
                self.say(400, json.dumps({"message": str(error)}).encode())
                return
            limiter.asked.append(request)
            self.say(200, json_format.MessageToJson(decide(limiter.engine, request)).encode())

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
