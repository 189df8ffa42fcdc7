"""Tests of rule sets wait while their databases are compiled: once, by whoever comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILING = 900  # seconds; the Core Rule Set at paranoia level 4, on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(COMPILING))
