"""Finds libinjection, which @detectSQLi and @detectXSS call: a shared object of somebody else that exports it.

The first of:
1. PyPI's `libmodsecurity`, which bundles the libinjection that our semantics are held against;
2. the system's libmodsecurity (Debian's libmodsecurity3) or libinjection;
3. PyPI's `libinjection-python` (libinjection 3.9.2, built from source).
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from ratelimitd.errors import RatelimitdError

SYSTEM = ("libmodsecurity.so.3", "libinjection.so")
REMEDY = "pip install 'ratelimitd[waf]', or install libmodsecurity3 (Debian: apt-get install libmodsecurity3)"


class InjectionError(RatelimitdError):
    """A rule set needs libinjection and there is none; the message says what to install."""


def injection_library() -> str:
    """What to hand to rl_injection_load: a path, or a name that the system's loader finds."""
    for candidate in candidates():
        if exports_libinjection(candidate):
            return candidate
    raise InjectionError(f"@detectSQLi and @detectXSS need libinjection: {REMEDY}")


def candidates() -> Iterator[str]:
    yield from (str(path) for path in sorted(beside("libmodsecurity", "libmodsecurity.libs/libmodsecurity-*.so*")))
    yield from SYSTEM
    yield from (str(path) for path in sorted(beside("libinjection", "libinjection*.so")))


def beside(module: str, pattern: str) -> Iterator[Path]:
    """Files by a glob pattern in the directory that `module` is installed in."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return iter(())
    origin = Path(spec.origin)
    return (origin.parent.parent if spec.submodule_search_locations else origin.parent).glob(pattern)


def exports_libinjection(name: str) -> bool:
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return False
    return hasattr(library, "libinjection_sqli") and hasattr(library, "libinjection_xss")
