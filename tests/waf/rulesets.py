"""Where the Core Rule Sets are that the tests read, and what to do on a machine without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.waf.shared import SHARED

V4 = SHARED / "crs" / "v4"
V3 = Path("/usr/share/modsecurity-crs")

needs_v4 = pytest.mark.skipif(not V4.is_dir(), reason="needs the Core Rule Set v4 in RATELIMITD_SHARED")
needs_v3 = pytest.mark.skipif(not V3.is_dir(), reason="needs Debian's modsecurity-crs")

V4_PATHS = (V4 / "crs-setup.conf.example", V4 / "rules")
V3_PATHS = (V3 / "owasp-crs.load",)
