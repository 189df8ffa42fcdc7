"""What the edge's Python costs beside the network call: Lambda authorizer, middleware, imports at a cold start.

The client is ours with its call to the network left out: requests are encoded and answers read as always.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ratelimitd.client import HttpClient
from ratelimitd.client.asgi import RateLimitMiddleware as Asgi
from ratelimitd.client.aws import authorizer
from ratelimitd.client.http1 import Answer
from ratelimitd.client.wsgi import RateLimitMiddleware as Wsgi

from .servers import ROOT, BenchError

VERDICT = json.dumps(
    {
        "decision": "DECISION_ALLOW",
        "status": 200,
        "domain": "shop",
        "inspectedAll": True,
        "limits": [
            {"name": name, "limit": "100", "remaining": "42", "windowMs": 60000, "resetAfterMs": 12345}
            for name in ("per-ip", "per-key", "login")
        ],
        "headers": [
            {"name": "ratelimit-policy", "value": "InBlci1pcCI7cT0xMDA7dz02MA=="},
            {"name": "ratelimit", "value": "InBlci1pcCI7cj00Mjt0PTEz"},
        ],
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(VERDICT), VERDICT)

HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate, br",
    "accept-language": "en-US,en;q=0.9",
    "authorization": "Bearer " + "t" * 300,
    "content-length": "120",
    "host": "shop.example",
    "referer": "https://shop.example/login",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "x-amzn-trace-id": "Root=1-6797b6d3-64f9c928577f3ac56f5368ce",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-port": "443",
    "x-forwarded-proto": "https",
}
BODY = b"user=anna&password=" + b"x" * 101
PLACE = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/POST/login"
CONTEXT = {"apiId": "a1b2c3d4e5", "stage": "prod", "domainName": "shop.example", "routeKey": "POST /login"}
REST = {
    "type": "REQUEST",
    "methodArn": PLACE,
    "resource": "/login",
    "path": "/login",
    "httpMethod": "POST",
    "headers": HEADERS,
    "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
    "multiValueQueryStringParameters": {"next": ["/home"], "tag": ["one", "two"]},
    "requestContext": {**CONTEXT, "identity": {"sourceIp": "203.0.113.7"}},
}
HTTP = {
    "type": "REQUEST",
    "version": "2.0",
    "routeArn": PLACE,
    "rawPath": "/login",
    "rawQueryString": "next=%2Fhome&tag=one&tag=two",
    "cookies": ["session=s1", "theme=dark"],
    "headers": HEADERS,
    "requestContext": {**CONTEXT, "http": {"method": "POST", "sourceIp": "203.0.113.7"}},
}


class Answered(HttpClient):
    """Every call is answered at once."""

    def _exchange(self, *_: Any) -> Answer:
        answer = Answer()
        answer.feed(ANSWER)
        return answer


class AsyncAnswered:
    """The same for asyncio."""

    def __init__(self) -> None:
        self._client = Answered()

    async def check(self, request: Any) -> Any:
        return self._client.check(request)


def overheads(count: int = 2000) -> dict[str, float]:
    """Microseconds of one request, by what it goes through: the median of five rounds."""
    handler = authorizer(Answered(), on_error="deny")
    if not handler(HTTP, None)["isAuthorized"] or "policyDocument" not in handler(REST, None):
        raise BenchError("the authorizer did not allow its request")
    return {
        "Lambda authorizer, REST REQUEST": _round(lambda: handler(REST, None), count),
        "Lambda authorizer, HTTP 2.0": _round(lambda: handler(HTTP, None), count),
        "WSGI middleware": _round(_wsgi(), count),
        "ASGI middleware": _asgi(count),
    }


def _round(call: Callable[[], object], count: int) -> float:
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            call()
        taken.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(taken)


def _wsgi() -> Callable[[], object]:
    from io import BytesIO

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    middleware = Wsgi(app, Answered(), on_error="deny", trusted_hops=1)
    base = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in HEADERS.items()}
    base |= {"REQUEST_METHOD": "POST", "PATH_INFO": "/login", "QUERY_STRING": "tag=one", "CONTENT_LENGTH": "120"}
    return lambda: middleware({**base, "wsgi.input": BytesIO(BODY)}, lambda *_: None)


def _asgi(count: int) -> float:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None: ...

    middleware = Asgi(app, AsyncAnswered(), on_error="deny", trusted_hops=1)
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/login",
        "raw_path": b"/login",
        "query_string": b"tag=one",
        "headers": [(name.encode(), value.encode()) for name, value in HEADERS.items()],
        "client": ("10.0.0.1", 1234),
    }

    async def rounds() -> float:
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(count):
                await middleware(scope, receive, send)
            taken.append((time.perf_counter() - began) / count * 1e6)
        return statistics.median(taken)

    return asyncio.run(rounds())


def import_ms(statement: str, turns: int = 5) -> float:
    """Milliseconds of an import in a fresh interpreter, compiled files warm: the median of a few."""
    program = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1e3)"
    taken = []
    for _ in range(turns + 1):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            raise BenchError(f"{statement}: {done.stderr}")
        taken.append(float(done.stdout))
    return statistics.median(taken[1:])


STDLIB = "from ratelimitd.client import HttpClient; from ratelimitd.client.aws import authorizer"
GRPC = "from ratelimitd.client import Client; from ratelimitd.client.aws import authorizer"
