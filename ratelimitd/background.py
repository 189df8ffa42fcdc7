"""Work that must not be felt: threads that give way to everything else that wants the processor."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 0.5
FAIR_SHARE = 0.2  # of a processor: with less a job would take more than five times as long as it needs


def _give_way() -> None:
    """SCHED_IDLE: a worker that wakes up preempts this thread at once. At a low priority it would finish its slice."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class _Attempt(Generic[T]):
    """A job in an idle-class thread of its own. Nobody need wait for it, not even the end of the process."""

    def __init__(self, job: Callable[..., T], arguments: tuple[object, ...]) -> None:
        self.result: Future[T] = Future()
        self._clock: int | None = None  # of the thread's processor time
        self._spent = 0.0

        def work() -> None:
            try:
                self._clock = time.pthread_getcpuclockid(threading.get_ident())
                _give_way()
                self.result.set_result(job(*arguments))
            except BaseException as error:  # for who asked
                self.result.set_exception(error)

        threading.Thread(target=work, name="idle", daemon=True).start()

    def spent(self) -> float:
        """Seconds of processor time since the last look. 0.0 when the thread has not begun, or has ended."""
        try:
            total = time.clock_gettime(self._clock) if self._clock is not None else 0.0
        except OSError:
            return 0.0
        last, self._spent = self._spent, total
        return total - last


async def in_background(job: Callable[..., T], *arguments: object) -> T:
    """The result of a pure job, or what it raised, from an idle-class thread.

    A machine that is busy to the brim leaves such a thread next to no time, and a process may not raise its class
    again. So every PATIENCE_SECONDS it is looked at, and when it got less than FAIR_SHARE of them the job is begun
    anew in an ordinary thread. The idle one may hold the interpreter lock for a moment, but must hold no other.
    """
    attempt = _Attempt(job, arguments)
    first = asyncio.wrap_future(attempt.result)
    while True:
        done, _ = await asyncio.wait([first], timeout=PATIENCE_SECONDS)
        if done:
            return first.result()
        if attempt.spent() < FAIR_SHARE * PATIENCE_SECONDS:
            break
    first.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it any more
    return await asyncio.to_thread(job, *arguments)
