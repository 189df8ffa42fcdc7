"""Globs: `*` is any run, `\\` takes the next character as it is.

In a path `*` stays within a segment, `**` crosses segments, and `{name}` is one segment that a key can use. Elsewhere
`?` is one byte.
"""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}\Z")


MAX_BYTES = 4096
MAX_PARAMETERS = 16


def is_glob(text: str, *, path: bool) -> bool:
    return "*" in text or (path and "{" in text)


def path_problem(text: str) -> str:
    """What is wrong with a path or path glob; empty when nothing is."""
    if not text.startswith(("/", "*")):
        return "a path begins with '/'"
    if text.count("{") > MAX_PARAMETERS:
        return f"a path has at most {MAX_PARAMETERS} parameters"
    if "***" in text:
        return "'***' means nothing"
    seen: set[str] = set()
    for segment in text.split("/"):
        found = _PARAMETER.match(segment)
        if found is None and ("{" in segment or "}" in segment):
            return f"'{segment[:64]}': a parameter is a whole segment like {{name}}"
        if found and found[1] in seen:
            return f"parameter '{found[1]}' appears twice"
        if found:
            seen.add(found[1])
    return ""


def escape(text: str) -> str:
    """A glob that matches this text only."""
    return re.sub(r"([\\*?{}])", r"\\\1", text)


def parameters(text: str) -> set[str]:
    """The names that a path glob binds."""
    return {found[1] for segment in text.split("/") if (found := _PARAMETER.match(segment))}


def whole_tree(text: str) -> str:
    """A trailing `/*` means everything below: a rule for /admin/* must not be evaded by one more slash."""
    return f"{text}*" if text.endswith("/*") else text


def specificity(text: str) -> tuple[int, int, str]:
    """Sorts globs, most specific first: by literal length, then by fewer wildcards, then by text."""
    wildcards = text.count("*")
    return wildcards - len(text), wildcards, text
