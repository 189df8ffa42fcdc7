"""What the edge's tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .limiter import Limiter

EVENTS = Path(__file__).parent / "events"


def event(name: str) -> Any:
    """A recorded event, fresh each time."""
    return json.loads((EVENTS / f"{name}.json").read_text())


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    made = Limiter()
    yield made
    made.close()


Recorded = Callable[[str], Any]


@pytest.fixture
def recorded() -> Recorded:
    return event
