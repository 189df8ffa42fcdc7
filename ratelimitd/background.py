"""Work that must not be felt: threads that give way to everything else that wants the processor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 0.5


def _give_way() -> None:
    """SCHED_IDLE: a worker that wakes up preempts this thread at once. At a low priority it would finish its slice."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Background:
    """Runs pure jobs in an idle-class thread.

    A machine that is busy to the brim leaves such a thread no time, so a job that is not done within PATIENCE_SECONDS
    is begun anew in an ordinary thread.
    """

    def __init__(self) -> None:
        self._idle = ThreadPoolExecutor(1, "idle", _give_way)

    async def run(self, job: Callable[..., T], *arguments: object) -> T:
        """The job's result, or what it raised."""
        first = asyncio.get_running_loop().run_in_executor(self._idle, job, *arguments)
        done, _ = await asyncio.wait([first], timeout=PATIENCE_SECONDS)
        if done:
            return first.result()
        first.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it any more
        return await asyncio.to_thread(job, *arguments)
