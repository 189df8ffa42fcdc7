"""The folder of shared data; what needs it skips, by name, where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RATELIMITD_SHARED", ROOT.parent / "shared"))


def crs_v4() -> Path:
    """The Core Rule Set's folder; skips the test without it."""
    path = SHARED / "crs/v4"
    if not path.is_dir():
        pytest.skip(f"the Core Rule Set is not in {SHARED} (set RATELIMITD_SHARED)")
    return path
