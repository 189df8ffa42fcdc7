"""Does a regular expression match a whole value? As the engine has it: Hyperscan syntax, `.` is any byte."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

try:
    import hyperscan
except ImportError:
    hyperscan = None  # type: ignore[assignment, unused-ignore]


def regex_holds(pattern: bytes, value: bytes) -> bool:
    """Asks `re`, and Hyperscan's binding for what `re` cannot read ([[:alpha:]], \\z). ValueError when neither can."""
    plain = _plain(pattern)
    if plain is not None:
        return plain.fullmatch(value) is not None
    database = _database(pattern)
    found: list[int] = []
    database.scan(value, match_event_handler=lambda *match: found.append(match[0]))
    return bool(found)


@lru_cache(maxsize=1024)
def _plain(pattern: bytes) -> re.Pattern[bytes] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a set that looks like a POSIX class: `re` would read it as something else
        try:
            return re.compile(pattern, re.DOTALL)
        except (re.error, OverflowError, RecursionError, Warning):
            return None


@lru_cache(maxsize=1024)
def _database(pattern: bytes) -> hyperscan.Database:
    words = pattern.decode("utf-8", "backslashreplace")
    if hyperscan is None:
        raise ValueError(f"regex '{words}' has syntax that only the engine reads")
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[rb"\A(?:" + pattern + rb")\z"], flags=[flags])
    except hyperscan.error as error:
        raise ValueError(f"regex '{words}': {error}") from None
    return database
