"""Where compiled databases are kept between starts, who may have written them, and how many there may be.

A compiled database is native data that the pattern library takes as it is: whoever can write one decides what we run.
So a file is read only if it is ours, or root's, and nobody else may write it, whatever its directory allows. The
directory that is found by itself must be as safe, or it is not used.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

AUTO, OFF = "auto", "off"
MAX_BYTES = 1 << 30  # of all files
MAX_UNUSED_SECONDS = 30 * 86400
USED_SECONDS = 86400  # a use is noted once in so long
SUFFIXES = (".hsdb", ".plan")
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def choose(said: str, candidates: Sequence[str]) -> tuple[str | None, list[str]]:
    """The directory, or None, and then for each candidate why not. `said`: a directory, AUTO or OFF.

    Nothing is made yet. A directory that was named is taken as it is: only its files are looked at.
    """
    if said == OFF:
        return None, []
    if said != AUTO:
        return said, []
    faults = []
    for candidate in candidates:
        fault = unusable(Path(candidate))
        if not fault:
            return candidate, []
        faults.append(f"{candidate}: {fault}")
    return None, faults or ["there is no home directory"]


def unusable(path: Path) -> str:
    """Why it cannot be used: in a few words; empty when it can."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid in (0, os.geteuid()):
            found = path.stat()  # systemd's CacheDirectory= of a DynamicUser= is one
    except FileNotFoundError:
        return "" if _may_be_made(path) else "it cannot be made"
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.geteuid():
        return "it belongs to somebody else"
    if found.st_mode & OTHERS_MAY_WRITE:
        return "others may write to it"
    return "" if os.access(path, os.W_OK | os.X_OK) else "it cannot be written"


def _may_be_made(path: Path) -> bool:
    """Can a directory be made there, with those above it?"""
    above = next((p for p in path.parents if os.path.lexists(p)), Path("/"))
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def read(path: Path) -> bytes | None:
    """A file that is ours and that nobody else may write. None: there is none such."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        safe = stat.S_ISREG(found.st_mode) and not found.st_mode & OTHERS_MAY_WRITE
        if not safe or found.st_uid not in (0, os.geteuid()):
            return None
        with open(handle, "rb", closefd=False) as file:
            content = file.read()
        if time.time() - found.st_mtime > USED_SECONDS:
            with contextlib.suppress(OSError):
                os.utime(handle)
        return content
    except OSError:
        return None
    finally:
        os.close(handle)


def write(path: Path, content: bytes) -> None:
    """Whole or not at all, for us alone. A cache that cannot be written is no error: the next start compiles again."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    except OSError:
        return
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def prune(directory: str | None, now: float | None = None) -> int:
    """Removes our files that nobody has used for MAX_UNUSED_SECONDS, then those used least lately beyond MAX_BYTES.

    Returns how many. Others may do the same meanwhile: who misses a file compiles it.
    """
    removed = 0
    kept = 0
    now = time.time() if now is None else now
    for used, size, path in sorted(_files(directory), reverse=True):
        kept += size
        if now - used <= MAX_UNUSED_SECONDS and kept <= MAX_BYTES:
            continue
        with contextlib.suppress(OSError):
            os.unlink(path)
            removed += 1
    return removed


def _files(directory: str | None) -> Iterator[tuple[float, int, str]]:
    """(last use, bytes, path) of each; of what a write has left behind, too."""
    with contextlib.suppress(OSError), os.scandir(directory) if directory else contextlib.nullcontext(()) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIXES) or entry.name.startswith((".new-", ".hsdb-")):
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield found.st_mtime, found.st_size, entry.path
