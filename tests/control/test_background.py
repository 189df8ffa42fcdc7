"""Background work: its results, its errors, and a machine that leaves it no time."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from ratelimitd import background
from ratelimitd.background import Background


def test_jobs_run_in_the_idle_class_and_return() -> None:
    assert asyncio.run(Background().run(lambda: os.sched_getscheduler(0))) == os.SCHED_IDLE


def test_errors_reach_who_asked() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(Background().run(fail))


def test_a_job_that_gets_no_time_is_begun_anew_in_an_ordinary_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_SECONDS", 0.05)
    starved = threading.Event()

    def job() -> int:
        if os.sched_getscheduler(0) == os.SCHED_IDLE:
            starved.wait(10)
            raise ValueError("too late for anybody to hear")
        return os.sched_getscheduler(0)

    async def run() -> int:
        result = await Background().run(job)
        starved.set()
        return result

    assert asyncio.run(run()) == os.SCHED_OTHER
