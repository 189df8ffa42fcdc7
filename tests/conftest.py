"""For all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# What is compiled goes to tests.databases or a folder of the test, not to the cache of who runs the tests.
os.environ["RATELIMITD_CACHE_DIR"] = "off"

# CI looks at the same examples every time, so what it finds is of the change. Everywhere else the search goes on.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
