"""The database of places that rules ask with @geoLookup: a MaxMind database (.mmdb), named by SecGeoLookupDb.

Only found and told apart here; the engine maps the file and reads it.
"""

from __future__ import annotations

import os
import stat

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.waf.program import Places
from ratelimitd.waf.seclang.tree import Directive, Setting

# It begins what a database says of itself, which is at most this far from the file's end.
# https://maxmind.github.io/MaxMind-DB/#database-metadata
MARKER = b"\xab\xcd\xefMaxMind.com"
TAIL_BYTES = 128 * 1024


def names_places(directive: Directive) -> bool:
    return isinstance(directive, Setting) and directive.name == "SecGeoLookupDb"


def places_path(directive: Directive) -> str:
    """A relative path starts from the rule file, as libmodsecurity has it."""
    assert isinstance(directive, Setting)
    return os.path.join(os.path.dirname(directive.position.file), os.fsdecode(directive.arguments[0]))


def find_places(directive: Directive) -> Places:
    """Raises PolicyError: there is no such file, or it is something else."""
    path = places_path(directive)
    try:
        found, marked = look(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PolicyError([Diagnostic("S101", f"cannot read '{path[:200]}': {reason}", directive.position)]) from None
    if not marked:
        hint = "GeoLite2's .mmdb files are read, GeoIP's .dat files are not"
        raise PolicyError([Diagnostic("S101", f"'{path[:200]}' is no MaxMind database", directive.position, hint)])
    origin = f"{directive.position.file}:{directive.position.line}"
    return Places(path, (found.st_ino, found.st_size, found.st_mtime_ns), origin)


def look(path: str) -> tuple[os.stat_result, bool]:
    """(what the file system says, does the file end as a database does)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # not to hang on a pipe
    with open(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        stream.seek(max(0, found.st_size - TAIL_BYTES))
        return found, MARKER in stream.read(TAIL_BYTES)
