"""The examples with real frameworks, under real servers, before a real limiter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .limiter import Limiter
from .serving import EXAMPLES, asgi, gunicorn, load, wsgi

APPS = EXAMPLES / "apps"


@contextmanager
def served(name: str, limiter: Limiter, tmp_path: Path) -> Iterator[str]:
    environ = {"RATELIMITD_ADDRESS": limiter.grpc}
    if name == "fastapi, uvicorn":
        with asgi(load(APPS / "fastapi_app.py", **environ).app) as url:
            yield url
    elif name == "flask, gunicorn":
        with gunicorn("flask_app:app", APPS, tmp_path / "log", **environ) as url:
            yield url
    elif name == "django, wsgiref":
        with wsgi(django(limiter).application) as url:
            yield url
    else:
        with asgi(django(limiter).asgi_application) as url:
            yield url


def django(limiter: Limiter) -> object:
    """Django can be configured once in a process: later tests give the same application another client."""
    from ratelimitd.client import AsyncClient, HttpClient

    if not DJANGO:
        DJANGO.append(load(APPS / "django_app.py"))
    (module,) = DJANGO
    module.application._client = HttpClient(limiter.grpc)
    module.asgi_application._client = AsyncClient(limiter.grpc)
    return module


DJANGO: list[object] = []

ALL = ["fastapi, uvicorn", "flask, gunicorn", "django, wsgiref", "django, uvicorn"]


@pytest.fixture(params=ALL)
def url(request: pytest.FixtureRequest, limiter: Limiter, tmp_path: Path) -> Iterator[str]:
    with served(request.param, limiter, tmp_path) as base:
        yield base


def test_an_application_is_guarded(url: str) -> None:
    """One server per framework for all of it: they take a while to start."""
    with httpx.Client(base_url=url, headers={"x-forwarded-for": "6.6.6.6, 203.0.113.7"}) as client:
        # The third login is one too many, however the client lies about where it comes from.
        for i in range(3):
            claimed = f"6.6.6.{i}, 203.0.113.7"
            answer = client.post("/login", content=b"user=anna", headers={"x-forwarded-for": claimed})
            assert answer.status_code == (200 if i < 2 else 429)
            assert answer.headers["ratelimit-policy"] == '"login";q=2;w=3600'
            assert answer.headers["ratelimit"].startswith(f'"login";r={max(1 - i, 0)};t=')
            if i < 2:
                assert answer.json() == {"bytes": 9}
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        problem = answer.json()
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert (problem["status"], problem["violated-policies"]) == (429, ["login"])

        # What the body holds is scanned, and the client learns nothing but a reference.
        form = {"content-type": "application/x-www-form-urlencoded"}
        blocked = client.post("/upload", content=b"q=evil", headers=form)
        assert blocked.status_code == 403
        assert blocked.json() == {"title": "Forbidden", "status": 403, "reference": blocked.json()["reference"]}
        assert blocked.headers["x-ratelimitd-reference"] == blocked.json()["reference"]
        assert "1001" not in blocked.text

        # What is larger than what is scanned still arrives whole.
        large = b"x" * 300_000
        assert client.post("/upload", content=large).json() == {"bytes": len(large)}
        assert client.post("/upload", content=b"").json() == {"bytes": 0}

        # Another client has an allowance of its own, and health checks need none.
        other = client.post("/login", headers={"x-forwarded-for": "203.0.113.7, 203.0.113.8"})
        assert other.status_code == 200
        assert "ratelimit" not in client.get("/healthz").headers

        # An entry that is no address is nobody's.
        assert client.post("/login", headers={"x-forwarded-for": "203.0.113.9, unknown"}).status_code == 400


@pytest.mark.parametrize("name", ["fastapi, uvicorn", "flask, gunicorn"])
def test_bodies_of_unknown_length(name: str, limiter: Limiter, tmp_path: Path) -> None:
    def chunks(piece: bytes, count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield piece

    with served(name, limiter, tmp_path) as url:
        headers = {"x-forwarded-for": "203.0.113.7", "content-type": "application/x-www-form-urlencoded"}
        with httpx.Client(base_url=url, headers=headers) as client:
            assert client.post("/upload", content=chunks(b"x" * 1000, 200)).json() == {"bytes": 200_000}
            assert client.post("/upload", content=chunks(b"q=evil&", 3)).status_code == 403


def test_a_denied_handshake_is_a_429(limiter: Limiter) -> None:
    """As the server can: uvicorn has ASGI's extension for it."""
    from ratelimitd.client import HttpClient
    from ratelimitd.client.asgi import RateLimitMiddleware

    async def greet(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    guarded = RateLimitMiddleware(
        greet,
        HttpClient(limiter.grpc),
        on_error="deny",
        trusted_hops=1,
        attributes=lambda scope: {"route": "$connect"},
    )
    handshake = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "CYZZrfNgEcgzzzwL44qytQ==",
        "x-forwarded-for": "203.0.113.7",
    }
    with asgi(guarded, ws="wsproto") as url:
        answers = []
        for _ in range(3):
            with httpx.stream("GET", f"{url}/socket", headers=handshake) as answer:
                answers.append((answer.status_code, answer.headers.get("retry-after", "0")))
    assert [status for status, _ in answers] == [101, 101, 429]
    assert int(answers[2][1]) > 0
