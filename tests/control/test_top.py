"""The hottest keys: never under-counted, over-counted by at most the stated error, in bounded memory."""

from __future__ import annotations

import random
from collections import Counter

from ratelimitd.top import Key, Sketch, Top


def key(name: object) -> Key:
    return Key("shop", "limit", "per-ip", str(name))


def test_exact_while_everything_fits() -> None:
    sketch = Sketch(10)
    for number in range(10):
        for _ in range(number + 1):
            sketch.add(key(number), 2)
    assert [(k.key, c.hits, c.error) for k, c in sketch.heaviest(3)] == [("9", 20, 0), ("8", 18, 0), ("7", 16, 0)]


def test_bounds_hold_on_a_skewed_stream() -> None:
    """hits - error <= true <= hits for each tracked key, and every key above total / capacity is tracked."""
    draw = random.Random(7)
    sketch, truth = Sketch(50), Counter[Key]()
    for _ in range(20_000):
        k, weight = key(int(draw.paretovariate(0.8))), draw.choice([1, 1, 1, 128])
        sketch.add(k, weight)
        truth[k] += weight
    tracked = dict(sketch.heaviest(50))
    assert len(sketch) == 50
    for k, count in tracked.items():
        assert count.hits - count.error <= truth[k] <= count.hits
    total = truth.total()
    assert all(k in tracked for k, hits in truth.items() if hits > total / 50)


def test_a_flood_of_distinct_keys_stays_bounded_and_does_not_hide_the_hot_one() -> None:
    sketch = Sketch(100)
    for number in range(20_000):
        sketch.add(key(number), 1)
        if number % 20 == 0:
            sketch.add(key("hot"), 1)
    assert len(sketch) == 100
    assert sketch.heaviest(1)[0][0] == key("hot")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_old_heat_is_forgotten() -> None:
    clock = Clock()
    top = Top(period=60, clock=clock)
    top.add(key("old"), 5, denied=True)
    clock.now += 70
    top.add(key("new"), 1, denied=False)
    assert [row["key"] for row in top.report(5)["hottest"]] == ["old", "new"]
    assert top.report(5)["seconds"] == 70
    clock.now += 60
    assert [row["key"] for row in top.report(5)["hottest"]] == ["new"]
    assert top.report(5)["denied"] == []
    clock.now += 1000
    assert top.report(5)["hottest"] == []


def test_a_clock_that_steps_back_starts_afresh() -> None:
    clock = Clock()
    top = Top(period=60, clock=clock)
    top.add(key("a"), 5, denied=True)
    clock.now -= 500
    top.add(key("b"), 1, denied=True)
    assert [row["key"] for row in top.report(5)["denied"]] == ["b"]


def test_counts_of_both_periods_add_up() -> None:
    clock = Clock()
    top = Top(period=60, clock=clock)
    top.add(key("a"), 5, denied=True)
    clock.now += 61
    top.add(key("a"), 7, denied=False)
    report = top.report(1)
    row = {"domain": "shop", "decider": "limit", "limit": "per-ip", "key": "a"}
    assert report["hottest"] == [{**row, "hits": 12, "error": 0}]
    assert report["denied"] == [{**row, "hits": 5, "error": 0}]


def test_denials_in_the_shadow_have_a_list_of_their_own() -> None:
    top = Top()
    top.add(key("denied"), 2, denied=True, watched=True)  # by one limit, and in the shadow by another
    top.add(key("watched"), 3, denied=False, watched=True)
    top.add(key("allowed"), 4, denied=False)
    report = top.report(5)
    assert [row["key"] for row in report["hottest"]] == ["allowed", "watched", "denied"]  # type: ignore[attr-defined]
    assert [row["key"] for row in report["denied"]] == ["denied"]  # type: ignore[attr-defined]
    assert [row["key"] for row in report["shadow_denied"]] == ["watched"]  # type: ignore[attr-defined]


def test_a_flood_in_the_shadow_stays_bounded() -> None:
    top = Top(capacity=50)
    for number in range(5000):
        top.add(key(number), 1, denied=False, watched=True)
    assert len(top.report(1000)["shadow_denied"]) == 50  # type: ignore[arg-type]
