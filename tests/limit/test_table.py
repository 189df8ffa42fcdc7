"""The table against a dict, all_or_none, and many threads on a few keys."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd._ext.limit import probe
from tests.model.table import Hit
from tests.model.table import Table as Model
from tests.model.window import BUCKET, FIXED, MOST, SLIDING, Rule

T0 = 1_700_000_000_000
RULE = Rule(10, 60_000)


def digest(number: int) -> tuple[int, int]:
    return probe.hash_key(1, 2, number.to_bytes(8, "little"))


def test_a_check_charges_all_its_limits_or_none() -> None:
    table = probe.Table(1000)
    tight, wide = Hit(digest(1), Rule(2, 60_000)), Hit(digest(2), RULE)
    for _ in range(2):
        assert table.decide([wide, tight], T0)[0] == -1
    for _ in range(3):
        assert table.decide([wide, tight], T0)[0] == 1
    assert table.lookup(wide.digest, wide.rule, T0)[0] == 2
    assert table.decide([wide, tight], T0, all_or_none=False)[0] == 1
    assert table.lookup(wide.digest, wide.rule, T0)[0] == 3


def test_a_denied_check_charges_no_shadow_limit_and_a_shadow_limit_never_vetoes() -> None:
    table = probe.Table(1000)
    shadow, hit = Hit(digest(1), Rule(1, 60_000), 1, True), Hit(digest(2), Rule(3, 60_000))
    for _ in range(3):
        assert table.decide([shadow, hit], T0)[0] == -1
    first, views = table.decide([shadow, hit], T0)
    assert first == 1
    assert [view[3] for view in views] == [True, True]
    assert table.lookup(shadow.digest, shadow.rule, T0)[0] == 1
    assert table.decide([shadow], T0)[0] == -1


def test_views_are_after_the_hit_and_zero_when_over() -> None:
    table = probe.Table(1000)
    (view,) = table.decide([Hit(digest(1), RULE, 4)], T0)[1]
    assert view[:2] == (4, 6)
    (view,) = table.decide([Hit(digest(1), RULE, 7)], T0)[1]
    assert view[:2] == (4, 0)
    assert view[3]


def test_two_hits_on_one_counter_add_up() -> None:
    table = probe.Table(1000)
    hit = Hit(digest(1), RULE, 5)
    assert table.decide([hit, hit], T0)[0] == -1
    assert table.lookup(hit.digest, RULE, T0)[:2] == (10, 0)
    twice = Hit(digest(2), RULE, 6)
    assert table.decide([twice, twice], T0)[0] == 1
    assert table.lookup(twice.digest, RULE, T0) is None


def test_what_charges_nothing_stores_nothing() -> None:
    table = probe.Table(1000)
    table.decide([Hit(digest(1), RULE, 0)], T0)
    table.decide([Hit(digest(2), RULE, 11)], T0)
    table.decide([Hit(digest(3), Rule(0, 1000))], T0)
    table.decide([Hit(digest(4), RULE)], T0, dry=True)
    table.decide([Hit(digest(5), RULE), Hit(digest(6), Rule(0, 1000))], T0)
    assert table.stats()["keys"] == 0


def test_a_reset_key_is_fresh() -> None:
    table = probe.Table(1000)
    assert not table.reset(digest(1), RULE, T0)
    table.decide([Hit(digest(1), RULE, 10)], T0)
    assert table.reset(digest(1), RULE, T0)
    assert table.lookup(digest(1), RULE, T0) is None
    assert table.decide([Hit(digest(1), RULE, 10)], T0)[0] == -1


def test_a_changed_limit_keeps_the_count() -> None:
    for kind in ((SLIDING, 1), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)):
        table = probe.Table(1000)
        table.decide([Hit(digest(1), Rule(10, 60_000, *kind), 8)], T0)
        assert table.decide([Hit(digest(1), Rule(8, 60_000, *kind), 1)], T0)[0] == 0
        assert table.decide([Hit(digest(1), Rule(12, 60_000, *kind), 4)], T0)[0] == -1


@pytest.mark.parametrize("max_keys", [1, 2, 13, 14, 15, 4095, 4096, 5000, 10_007, 100_000])
def test_the_cap_is_the_one_asked_for(max_keys: int) -> None:
    assert probe.Table(max_keys).stats()["max_keys"] == max_keys


def test_a_table_of_no_or_absurd_size_is_refused() -> None:
    for max_keys in (0, 2**40, 2**63):
        with pytest.raises(MemoryError):
            probe.Table(max_keys)


def test_an_override_with_another_window_keeps_a_token_buckets_hits() -> None:
    """Written under one rate and read under another: the same hits are missing, whichever way the edit went."""
    for other in (Rule(10, 1, BUCKET), Rule(10, 7_000, BUCKET), Rule(10, MOST, BUCKET)):
        table = probe.Table(1000)
        table.decide([Hit(digest(1), Rule(10, 60_000, BUCKET), 8)], T0)
        assert table.lookup(digest(1), other, T0)[:2] == (8, 2)
        assert table.decide([Hit(digest(1), other, 3)], T0)[0] == 0
        assert table.decide([Hit(digest(1), other, 2)], T0)[0] == -1
        assert table.decide([Hit(digest(1), other, 1)], T0)[0] == 0


RULES = [
    Rule(limit, window_ms, *kind)
    for limit, window_ms in ((0, 1000), (1, 7), (3, 1000), (10, 60_000))
    for kind in ((SLIDING, 1), (SLIDING, 8), (FIXED, 1), (BUCKET, 1))
]
hits = st.builds(
    lambda key, cost, shadow: Hit(digest(key), RULES[key % len(RULES)], cost, shadow),
    st.integers(0, 47),
    st.one_of(st.integers(0, 3), st.sampled_from([11, 2**32 - 1])),
    st.booleans(),
)
checks = st.lists(
    st.tuples(
        st.lists(hits, max_size=6), st.booleans(), st.sampled_from([False, False, True]), st.integers(-200, 3000)
    ),
    max_size=40,
)


def later(pause: int, max_keys: int) -> int:
    """A full table gives away what has expired, and a clock that steps back before its end finds it gone."""
    return pause if max_keys > 100 else abs(pause)


@settings(max_examples=500, deadline=None)
@given(checks, st.sampled_from([100, 10_000]))
def test_the_table_equals_a_dict(script: list[tuple[list[Hit], bool, bool, int]], max_keys: int) -> None:
    table, truth, now = probe.Table(max_keys), Model(), T0
    for check, all_or_none, dry, pause in script:
        now += later(pause, max_keys)
        assert table.decide(check, now, all_or_none, dry) == truth.decide(check, now, all_or_none, dry)


wide = st.builds(
    lambda limit, window_ms, kind: Rule(limit, window_ms, *kind),
    st.one_of(st.integers(0, 20), st.integers(0, MOST)),
    st.one_of(st.integers(1, 50), st.integers(1, 100_000), st.integers(1, MOST)),
    st.sampled_from([(FIXED, 1), (SLIDING, 1), (SLIDING, 2), (BUCKET, 1)]),
)
steps = [0, 0, 1, 1 / 7, 1 / 2, 1, 2.1, 1000, -1 / 3, -1, -3.1]
turns = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.integers(0, MOST)),
        st.booleans(),
        st.sampled_from([False, False, True]),
        st.sampled_from(steps),
    ),
    max_size=30,
)


@settings(max_examples=500, deadline=None)
@given(st.lists(wide, min_size=1, max_size=3), turns, st.integers(0, 2**41))
def test_a_counter_in_the_table_equals_the_model(
    rules: list[Rule], script: list[tuple[int, bool, bool, float]], now: int
) -> None:
    """Any rule and clock, not only those that a table meets often: the hot path and the rest agree."""
    table, truth = probe.Table(1000), Model()
    for cost, all_or_none, dry, pause in script:
        now = max(0, now + int(pause * min(rule.window_ms for rule in rules)))
        check = [Hit(digest(key), rule, cost) for key, rule in enumerate(rules)]
        assert table.decide(check, now, all_or_none, dry) == truth.decide(check, now, all_or_none, dry)


charges = st.lists(st.tuples(st.lists(hits, max_size=6), st.booleans(), st.integers(-200, 3000)), max_size=40)


@settings(max_examples=300, deadline=None)
@given(charges, st.sampled_from([100, 10_000]))
def test_what_is_charged_unasked_equals_the_model(script: list[tuple[list[Hit], bool, int]], max_keys: int) -> None:
    table, truth, now = probe.Table(max_keys), Model(), T0
    for check, asked, pause in script:
        now += later(pause, max_keys)
        if asked:
            assert table.decide(check, now) == truth.decide(check, now)
        else:
            assert table.charge(check, now) == truth.charge(check, now)


@pytest.mark.parametrize("hits_per_check", [1, 3])
def test_threads_admit_exactly_the_limit(hits_per_check: int) -> None:
    limit, threads = 5000, 4
    rule = Rule(limit, 3_600_000)
    table = probe.Table(100_000)
    keys = [digest(k) for k in range(8)]
    admitted = [0] * threads

    def work(me: int) -> None:
        admitted[me] = table.hammer(keys, rule, 30_000, 77 + me, T0, hits_per_check)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    used = [table.lookup(key, rule, T0)[0] for key in keys]
    assert max(used) <= limit
    assert sum(used) == hits_per_check * sum(admitted)


def test_threads_on_one_key_admit_exactly_the_limit() -> None:
    rule, threads = Rule(10_000, 3_600_000), 4
    table = probe.Table(1000)
    admitted = [0] * threads

    def work(me: int) -> None:
        admitted[me] = table.hammer([digest(1)], rule, 20_000, me, T0)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(admitted) == 10_000
