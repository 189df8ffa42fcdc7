"""Where tests keep compiled pattern databases: those of real rule sets take seconds to minutes of CPU."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASES = Path(os.environ.get("RATELIMITD_TEST_DATABASES", ROOT / "build" / "databases"))  # they outlive the run


@contextmanager
def compiling() -> Iterator[Path]:
    """The folder; one process at a time, so that workers do not compile the same one."""
    DATABASES.mkdir(parents=True, exist_ok=True)
    with (DATABASES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield DATABASES
