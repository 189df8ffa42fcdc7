"""Says that something takes long, while it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def told(say: Callable[[float], None], first: float = 1.0, every: float = 10.0) -> Iterator[None]:
    """Calls `say` with the seconds that have passed, from a thread of its own: after `first` seconds of the block,
    and then every `every` seconds.
    """
    done, began = threading.Event(), time.monotonic()

    def watch() -> None:
        wait = first
        while not done.wait(wait):
            say(time.monotonic() - began)
            wait = every

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
