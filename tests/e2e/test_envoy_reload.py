"""A policy that is edited while a real Envoy sends traffic."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from .conftest import Envoy

pytestmark = pytest.mark.e2e

CLIENTS = 8
EDITS = 4
SEEN_WITHIN = 10.0  # seconds; a second by design, with room for a busy machine


async def hammer(client: httpx.AsyncClient, user: str, stop: asyncio.Event, statuses: list[int]) -> None:
    while not stop.is_set():
        answer = await client.get("/reload/1", headers={"x-user": user})
        statuses.append(answer.status_code)


async def until_policy_says(client: httpx.AsyncClient, quota: int) -> httpx.Response:
    deadline = time.monotonic() + SEEN_WITHIN
    while True:
        answer = await client.get("/reload/1", headers={"x-user": "probe"})
        if f'"reloaded";q={quota};' in answer.headers.get("ratelimit-policy", ""):
            return answer
        assert time.monotonic() < deadline, f"{answer.headers.get('ratelimit-policy')} after {SEEN_WITHIN} s"
        await asyncio.sleep(0.01)


def write_in_place(envoy: Envoy, text: str) -> None:
    (envoy.policy / "edge.yaml").write_text(text)


def write_by_rename(envoy: Envoy, text: str) -> None:
    fresh = envoy.policy.parent / "fresh.yaml"
    fresh.write_text(text)
    os.replace(fresh, envoy.policy / "edge.yaml")


async def edit_under_load(envoy: Envoy, original: str) -> tuple[list[int], int]:
    """(every status seen, what was left to the hammering user before and after)."""
    user, stop, statuses = uuid.uuid4().hex, asyncio.Event(), list[int]()
    async with httpx.AsyncClient(base_url=envoy.url("plain"), timeout=20) as client:
        load = [asyncio.create_task(hammer(client, user, stop, statuses)) for _ in range(CLIENTS)]
        for i in range(1, EDITS + 1):
            write = write_in_place if i % 2 else write_by_rename
            write(envoy, original.replace("limit: 1000000,", f"limit: {1000000 + i},"))
            await until_policy_says(client, 1000000 + i)
            write_in_place(envoy, "version: 1\ndomain: edge\nlimits: {broken")  # changes nothing
            await asyncio.sleep(0)
        stop.set()
        await asyncio.gather(*load)
        answer = await client.get("/reload/1", headers={"x-user": user})
    remaining = int(answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0])
    return statuses, 1000000 + EDITS - remaining


def test_reloads_under_load_fail_no_request_and_forget_no_count(envoy: Envoy) -> None:
    original = (envoy.policy / "edge.yaml").read_text()
    try:
        statuses, counted = asyncio.run(edit_under_load(envoy, original))
    finally:
        write_in_place(envoy, original)
    assert len(statuses) > 100
    assert set(statuses) == {200}
    assert counted == len(statuses) + 1, "an edit of the number alone keeps the counters"
