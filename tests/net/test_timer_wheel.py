"""The timer wheel against a list of times."""

from __future__ import annotations

import random

import pytest
from ratelimitd._ext.net.probe import Wheel

MS = 1_000_000
TICK = 1 << 23


@pytest.mark.parametrize("seed", range(20))
def test_never_early_and_never_late_by_more_than_two_ticks(seed):
    """However far away (the wheel spans 4.3 s), armed anew or cancelled; and sleep_ms never sleeps past a timer."""
    seeded = random.Random(seed)
    now = seeded.randrange(1, 10**15)
    wheel = Wheel(50, now)
    armed: dict[int, int] = {}
    for _ in range(2000):
        index = seeded.randrange(50)
        if seeded.random() < 0.3:
            wheel.cancel(index)
            armed.pop(index, None)
        else:
            at = now + seeded.choice([-5, 0, 1, 10, 500, 5000, 60_000]) * seeded.randrange(MS)
            wheel.arm(index, at)
            armed[index] = at
        sleep = wheel.sleep_ms(now)
        assert (sleep >= 0) == bool(armed)
        if armed and seeded.random() < 0.5:
            slept = now + sleep * MS
            assert slept <= max(min(armed.values()), now) + 2 * TICK + MS
            now = slept
        else:
            now += seeded.choice([0, 1, 20, 6000]) * seeded.randrange(MS)
        due = wheel.expire(now)
        assert len(set(due)) == len(due)
        for index in due:
            assert armed.pop(index) <= now
        assert all(at > now - 2 * TICK for at in armed.values())


def test_an_empty_wheel_sleeps_for_ever():
    wheel = Wheel(1, 5)
    assert wheel.sleep_ms(5) == -1
    wheel.arm(0, 10**18)
    assert 0 < wheel.sleep_ms(5) <= 5000
    assert wheel.expire(10**17) == []
    assert wheel.expire(10**18 + 2 * TICK) == [0]
    assert wheel.sleep_ms(10**18 + 2 * TICK) == -1
