"""Does a pattern compile? Asks Hyperscan itself, so that the answer and its words are the engine's."""

from __future__ import annotations

from functools import lru_cache

try:
    import hyperscan
except ImportError:  # without the binding the engine is the first to complain
    hyperscan = None  # type: ignore[assignment, unused-ignore]


def pattern_error(pattern: str, ignore_case: bool = False) -> str:
    """What is wrong with a rule's pattern, in Hyperscan's words; empty when nothing is."""
    return _compile_error(pattern, ignore_case, False)


def whole_value_error(pattern: str) -> str:
    """The same for a condition's regex. It must stand on its own, and anchored as the engine does it."""
    return _compile_error(pattern, False, True) or _compile_error(f"\\A(?:{pattern})\\z", False, True)


@lru_cache(maxsize=16_384)
def _compile_error(pattern: str, ignore_case: bool, allow_empty: bool) -> str:
    if "\0" in pattern:
        return "a NUL byte: write \\x00"
    if hyperscan is None:
        return ""
    flags = hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
    flags |= hyperscan.HS_FLAG_CASELESS if ignore_case else 0
    flags |= hyperscan.HS_FLAG_ALLOWEMPTY if allow_empty else 0
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(expressions=[pattern.encode("utf-8", "surrogatepass")], flags=[flags])
    except (hyperscan.error, ValueError, TypeError) as error:
        message = str(error).rstrip(".") or "does not compile"
        return "it matches empty text, and so everything" if "matches empty buffer" in message else message
    return ""
