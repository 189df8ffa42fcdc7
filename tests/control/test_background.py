"""Background work: its results, its errors, and a machine that leaves it no time."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from ratelimitd import background
from ratelimitd.background import in_background


def test_jobs_run_in_the_idle_class_and_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FAIR_SHARE", 0.0)  # however busy the machine is
    assert asyncio.run(in_background(lambda: os.sched_getscheduler(0))) == os.SCHED_IDLE


def test_errors_reach_who_asked() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(in_background(fail))


def test_a_job_that_gets_no_time_is_begun_anew_in_an_ordinary_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PATIENCE_SECONDS", 0.05)
    starved = threading.Event()

    def job() -> int:
        if os.sched_getscheduler(0) == os.SCHED_IDLE:
            starved.wait(10)
            raise ValueError("too late for anybody to hear")
        return os.sched_getscheduler(0)

    async def run() -> int:
        result = await in_background(job)
        starved.set()
        return result

    assert asyncio.run(run()) == os.SCHED_OTHER


def test_a_long_job_that_gets_on_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: begun anew it would take from the checks what the idle class left them."""
    monkeypatch.setattr(background, "PATIENCE_SECONDS", 0.01)
    looks: list[None] = []
    enough = threading.Event()

    def spent(attempt: object) -> float:
        looks.append(None)
        if len(looks) == 5:
            enough.set()
        return 0.01

    monkeypatch.setattr(background._Attempt, "spent", spent)

    def job() -> int:
        assert enough.wait(10)
        return os.sched_getscheduler(0)

    assert asyncio.run(in_background(job)) == os.SCHED_IDLE


def test_processor_time_is_that_of_the_job() -> None:
    """What it used since the last look, whoever else is busy; nothing once it has ended."""
    go, stop = threading.Event(), threading.Event()

    def job() -> None:
        go.wait(10)
        until = time.thread_time() + 0.03
        while time.thread_time() < until:
            pass
        stop.wait(10)

    attempt = background._Attempt(job, ())
    attempt.spent()
    go.set()
    total, deadline = 0.0, time.monotonic() + 10
    while total < 0.03 and time.monotonic() < deadline:
        time.sleep(0.005)
        total += attempt.spent()
    assert total >= 0.03
    stop.set()
    attempt.result.result(10)
