"""Long work is told while it lasts, short work is not."""

from __future__ import annotations

import threading

import pytest

from ratelimitd.progress import told


def test_long_work_is_told_again_and_again() -> None:
    seen, enough = [], threading.Event()

    def say(seconds: float) -> None:
        seen.append(seconds)
        if len(seen) == 3:
            enough.set()

    with told(say, first=0.001, every=0.001):
        assert enough.wait(10)
    count = len(seen)
    assert seen == sorted(seen)
    assert seen[0] >= 0.001
    assert len(seen) == count  # nobody speaks any more


def test_short_work_is_not_told_and_its_errors_go_on() -> None:
    seen: list[float] = []
    with pytest.raises(KeyError), told(seen.append, first=60):
        raise KeyError
    assert seen == []
