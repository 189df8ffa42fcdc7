"""Every kind of client, asked the same way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimitd.client import AsyncClient, AsyncHttpClient, Client, HttpClient, Request, Verdict

BLOCKING: dict[str, Any] = {"http": HttpClient, "grpc": Client}
ASYNCHRONOUS: dict[str, Any] = {"http-async": AsyncHttpClient, "grpc-async": AsyncClient}

KINDS = pytest.mark.parametrize("kind", [*BLOCKING, *ASYNCHRONOUS])
HTTP = pytest.mark.parametrize("kind", ["http", "http-async"])


def ask(kind: str, address: str, *requests: Request, **options: Any) -> Verdict:
    """The last verdict of a client that is used for these alone."""
    return asks(kind, address, *(requests or [Request()]), **options)[-1]


def asks(kind: str, address: str, *requests: Request, **options: Any) -> list[Verdict]:
    """One after the other."""
    if kind in BLOCKING:
        with BLOCKING[kind](address, **options) as client:
            return [client.check(request) for request in requests]

    async def run() -> list[Verdict]:
        async with ASYNCHRONOUS[kind](address, **options) as client:
            return [await client.check(request) for request in requests]

    return asyncio.run(run())
