"""What a full table forgets, and what it must not."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.limit import probe
from tests.model import window as model
from tests.model.table import Hit
from tests.model.table import Table as Model
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

T0 = 1_700_000_040_000  # the start of a minute
KINDS = [(SLIDING, 1), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)]


def digest(number: int) -> tuple[int, int]:
    return probe.hash_key(3, 4, number.to_bytes(8, "little"))


def hit(number: int, rule: Rule, cost: int = 1) -> Hit:
    return Hit(digest(number), rule, cost)


@pytest.mark.parametrize("max_keys", [1, 14, 100, 5000])
def test_a_flood_stays_under_the_cap(max_keys: int) -> None:
    table, rule = probe.Table(max_keys), Rule(10, 60_000)
    for number in range(10 * max_keys):
        assert table.decide([hit(number, rule)], T0)[0] in (-1, 0)
        assert number % 97 or table.stats()["keys"] <= max_keys
    stats = table.stats()
    assert stats["keys"] <= max_keys
    assert stats["inserted"] - stats["evicted"] - stats["expired"] == stats["keys"]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_near_their_limit_survive_a_flood(kind: tuple[int, int]) -> None:
    table, rule = probe.Table(1000), Rule(10, 3_600_000, *kind)
    for number in range(300):
        table.decide([hit(number, rule, 8 + number % 3)], T0)
    for number in range(1000, 11_000):
        table.decide([hit(number, rule)], T0)
    for number in range(300):
        assert table.lookup(digest(number), rule, T0)[0] == 8 + number % 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_evicted_key_comes_back_with_its_count(kind: tuple[int, int]) -> None:
    table, rule = probe.Table(100), Rule(10, 3_600_000, *kind)
    for number in range(100):
        table.decide([hit(number, rule, 7)], T0)
    for number in range(1000, 2000):
        table.decide([hit(number, rule)], T0 + 1000)
    gone = [n for n in range(100) if table.lookup(digest(n), rule, T0 + 1000) is None]
    assert gone
    for number in gone:
        assert table.decide([hit(number, rule, 4)], T0 + 1000)[0] == 0


def test_when_nothing_may_go_new_keys_are_counted_in_the_sketch() -> None:
    table, rule = probe.Table(50), Rule(5, 3_600_000)
    for number in range(50):
        table.decide([hit(number, rule, 5)], T0)
    admitted = sum(table.decide([hit(99, rule)], T0)[0] == -1 for _ in range(20))
    assert admitted == 5
    assert table.stats()["sketched"] == 5
    assert table.stats()["evicted"] == 0
    assert table.lookup(digest(99), rule, T0) is None
    assert all(table.lookup(digest(n), rule, T0)[0] == 5 for n in range(50))
    assert table.decide([hit(99, rule)], T0 + 3 * 3_600_000)[0] == -1  # the sketch forgets too


@pytest.mark.parametrize("kind", KINDS)
def test_expired_counters_go_first_and_leave_no_trace(kind: tuple[int, int]) -> None:
    table, rule = probe.Table(200), Rule(3, 1000, *kind)
    for number in range(200):
        table.decide([hit(number, rule, 3)], T0)
    later = T0 + 10_000
    for number in range(1000, 1200):
        assert table.decide([hit(number, rule, 3)], later)[0] == -1
    stats = table.stats()
    assert stats["evicted"] == stats["sketched"] == 0
    assert stats["expired"] == 200
    assert table.decide([hit(0, rule, 3)], later + 10_000)[0] == -1


def test_inserts_reclaim_expired_counters_below_the_cap() -> None:
    table, short, long = probe.Table(1000), Rule(3, 1000), Rule(3, 86_400_000)
    for number in range(500):
        table.decide([hit(number, short)], T0)
    for number in range(1000, 1400):
        table.decide([hit(number, long)], T0 + 10_000)
    assert table.stats()["keys"] == 400


def test_the_least_recently_used_goes() -> None:
    table, rule = probe.Table(14), Rule(100, 3_600_000)
    for number in range(14):
        table.decide([hit(number, rule)], T0 + number * 1000)
    table.decide([hit(0, rule)], T0 + 20_000)
    table.decide([hit(50, rule)], T0 + 21_000)
    assert table.lookup(digest(1), rule, T0 + 21_000) is None
    assert table.lookup(digest(0), rule, T0 + 21_000)[0] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_forgotten_key_is_looked_up_as_a_check_would_find_it(kind: tuple[int, int]) -> None:
    table, rule = probe.Table(14), Rule(100, 3_600_000, *kind)
    table.decide([hit(0, rule, 7)], T0)
    assert table.estimate(digest(0), rule, T0) is None  # it is counted
    for number in range(1, 40):
        table.decide([hit(number, rule)], T0 + 1000)
    assert table.lookup(digest(0), rule, T0 + 1000) is None
    used, remaining, _, over = table.estimate(digest(0), rule, T0 + 1000)
    assert used >= 7
    assert (remaining, over) == (100 - used, False)
    _, [seen] = table.decide([hit(0, rule, 0)], T0 + 1000, dry=True)
    assert seen[:2] == (used, remaining)
    assert table.reset(digest(0), rule, T0 + 1000)
    assert table.estimate(digest(0), rule, T0 + 1000) is None
    assert table.lookup(digest(0), rule, T0 + 1000)[0] == 0


def test_the_estimate_of_a_forgotten_key_expires() -> None:
    table, rule = probe.Table(14), Rule(10, 60_000)
    for number in range(40):
        table.decide([hit(number, rule)], T0)
    gone = [n for n in range(40) if table.lookup(digest(n), rule, T0) is None]
    assert all(table.estimate(digest(n), rule, T0)[0] >= 1 for n in gone)
    assert all(table.estimate(digest(n), rule, T0 + 180_000) is None for n in gone)


def test_a_reset_finds_room_however_far_from_the_keys_home() -> None:
    """All counters lie in the first groups of the shard; the key's home and those after it are empty."""
    most, groups = 14 * 40, 40
    table, rule = probe.Table(most), Rule(10, 3_600_000)

    def at_home(group: int, number: int) -> tuple[int, int]:
        low, high = digest(number)
        return low & ((1 << 62) - 1), (-(-(group << 32) // groups) << 32) | (high & 0xFFFFFFFF)

    key = at_home(35, 10_000)
    for number in range(most):
        table.decide([Hit(at_home(number // 16, number), rule, 9)], T0)
    assert table.stats()["keys"] == most
    table.decide([Hit(key, rule, 10)], T0)
    assert table.lookup(key, rule, T0) is None
    assert table.estimate(key, rule, T0)[0] == 10
    assert table.reset(key, rule, T0)
    assert table.decide([Hit(key, rule, 10)], T0)[0] == -1
    assert table.stats()["keys"] == most


def test_a_key_reset_after_evictions_is_fresh() -> None:
    table, rule = probe.Table(14), Rule(10, 3_600_000)
    table.decide([hit(0, rule, 7)], T0)
    for number in range(1, 40):
        table.decide([hit(number, rule)], T0 + 1000)
    table.decide([hit(0, rule)], T0 + 2000)
    assert table.lookup(digest(0), rule, T0 + 2000)[0] == 8
    assert table.reset(digest(0), rule, T0 + 2000)
    assert table.decide([hit(0, rule, 10)], T0 + 2000)[0] == -1


@pytest.mark.parametrize("used", [7, 10])
def test_a_key_that_only_the_sketch_knows_is_let_in_by_a_reset(used: int) -> None:
    """Also when every counter is near its limit, and for as long as the sketch would have kept it out."""
    table, rule = probe.Table(14), Rule(10, 3_600_000)
    table.decide([hit(0, rule, 7)], T0)
    for number in range(1, 40):
        table.decide([hit(number, rule, used)], T0 + 1000)
    assert table.lookup(digest(0), rule, T0 + 1000) is None
    assert table.decide([hit(0, rule, 4)], T0 + 1000)[0] == 0
    assert table.reset(digest(0), rule, T0 + 1000)
    for number in range(40, 400):
        table.decide([hit(number, rule)], T0 + 2000)
    for _ in range(10):
        assert table.decide([hit(0, rule)], T0 + 3000)[0] == -1
        for number in range(400, 440):
            table.decide([hit(number, rule)], T0 + 4000)
    assert table.decide([hit(0, rule)], T0 + 4000)[0] == 0
    assert table.stats()["keys"] == 14


def test_a_reset_key_makes_room_again_when_the_sketch_forgot_it() -> None:
    table, rule = probe.Table(14), Rule(10, 60_000)
    for number in range(40):
        table.decide([hit(number, rule, 7)], T0)
    for number in range(40):
        assert table.reset(digest(number), rule, T0)
    assert table.stats()["keys"] == 14
    later = T0 + 10 * 60_000
    for number in range(100, 200):
        table.decide([hit(number, rule)], later)
    assert all(table.lookup(digest(number), rule, later) is None for number in range(40))


def test_a_reset_forgets_no_other_key() -> None:
    table, rule = probe.Table(14), Rule(10, 3_600_000)
    for number in range(40):
        table.decide([hit(number, rule, 10)], T0)
    for number in range(0, 40, 2):
        table.reset(digest(number), rule, T0)
    for number in range(1, 40, 2):
        assert table.decide([hit(number, rule)], T0)[0] == 0


@pytest.mark.parametrize("max_keys", [20, 400])
def test_a_full_table_never_counts_too_few(max_keys: int) -> None:
    """Whatever is evicted, folded and brought back: no key is believed to have fewer hits than it was admitted with."""
    draw = random.Random(max_keys)
    rules = [Rule(limit, window, *kind) for limit, window in ((1, 700), (20, 3000), (50, 60_000)) for kind in KINDS]
    table, truth, now = probe.Table(max_keys), Model(), T0
    for _ in range(15_000):
        now += draw.choice([0, 0, 1, 5, 40])
        number = min(int(draw.expovariate(1 / max_keys)), 20 * max_keys)
        one = hit(number, rules[number % len(rules)], draw.choice([0, 1, 1, 3]))
        expected = model.peek(one.rule, truth.counter(one, now), now, one.cost)
        first, (view,) = table.decide([one], now)
        assert first == 0 or not expected.over
        if first == -1 and one.cost:
            model.charge(one.rule, truth.counters.setdefault(one.digest, model.fresh(one.rule, now)), now, one.cost)
        assert view[0] >= truth.counter(one, now).used(now, one.rule)
    assert table.stats()["evicted"] > 100
    assert table.stats()["expired"] > 100


def test_expiry_and_reset_lose_nobody() -> None:
    """A shard that never fills equals a dict through any order of erasing: keys that moved up are found."""
    draw = random.Random(5)
    rules = [Rule(5, window, *kind) for window in (400, 5000, 20_000) for kind in KINDS]
    table, truth, now = probe.Table(400), Model(), T0
    for _ in range(15_000):
        now += draw.choice([0, 0, 0, 1, 1, 30])
        number = draw.randrange(400)
        one = hit(number, rules[number % len(rules)])
        if draw.random() < 0.1:
            table.reset(one.digest, one.rule, now)
            truth.counters.pop(one.digest, None)
        else:
            assert table.decide([one], now) == truth.decide([one], now)
    assert table.stats()["evicted"] == 0
    assert table.stats()["expired"] > 1000
