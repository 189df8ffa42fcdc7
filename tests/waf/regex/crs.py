"""The @rx patterns of a rule set, read without its parser: the gates must hold for whatever a pattern says."""

from __future__ import annotations

import os
import re
from pathlib import Path

V4 = Path(os.environ.get("RATELIMITD_SHARED", "../shared")) / "crs/v4/rules"
V3 = Path("/usr/share/modsecurity-crs/rules")
_RX = re.compile(
    rb'^[ \t]*SecRule[ \t]+(?:"[^"]*"|\S+)\s+"!?(?:@rx |(?!@))((?:[^"\\]|\\.)*)"', re.MULTILINE | re.DOTALL
)


def patterns(folder: Path) -> list[bytes]:
    found: dict[bytes, None] = {}
    for file in sorted(folder.glob("*.conf")):
        text = file.read_bytes().replace(b"\\\n", b" ")
        for match in _RX.finditer(text):
            found[match[1].replace(b'\\"', b'"')] = None
    return list(found)
