"""The cases of SecLang's own suite, which lives outside of this repository."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

CASES = Path(os.environ.get("RATELIMITD_SHARED", "../shared")) / "seclang"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"needs {CASES} (set RATELIMITD_SHARED)")


def scan_hex(digits: bytes) -> int:
    """What sscanf("%x") reads, as the suite's own runner does."""
    match = re.match(rb"[0-9a-fA-F]+", digits)
    return int(match[0], 16) if match else 0


def case_bytes(text: str) -> bytes:
    """The suite writes bytes as JSON text in UTF-8, with \\xHH and \\uHHHH (low byte) where JSON has no way."""
    raw = text.encode()
    raw = re.sub(rb"\\x([0-9a-zA-Z]{2})", lambda m: bytes([scan_hex(m[1])]), raw)
    return re.sub(rb"\\u([0-9a-zA-Z]{4})", lambda m: bytes([scan_hex(m[1]) & 0xFF]), raw)


def operator_cases(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((CASES / "operators" / f"{name}.json").read_text())
    return loaded


def transformation_cases(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((CASES / "transformations" / f"{name}.json").read_text())
    for case in loaded:
        # The output shows that "\\0" was meant, an escape of one digit.
        if name == "cssDecode" and case["input"].endswith("\\\0  string"):
            case["input"] = case["input"].replace("\0", "0")
    return loaded
