"""Does a pattern compile? Asks Hyperscan itself, so that the answer and its words are the engine's."""

from __future__ import annotations

from functools import lru_cache

try:
    import hyperscan
except ImportError:  # without the binding the engine is the first to complain
    hyperscan = None  # type: ignore[assignment, unused-ignore]


@lru_cache(maxsize=16_384)
def compile_error(pattern: str, ignore_case: bool = False) -> str:
    """Hyperscan's message; empty when the pattern compiles."""
    if "\0" in pattern:
        return "a NUL byte: write \\x00"
    if hyperscan is None:
        return ""
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
    flags |= hyperscan.HS_FLAG_CASELESS if ignore_case else 0
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[pattern.encode("utf-8", "surrogatepass")], flags=[flags])
    except (hyperscan.error, ValueError, TypeError) as error:
        return str(error).rstrip(".") or "does not compile"
    return ""
