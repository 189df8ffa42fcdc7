"""The arithmetic of the algorithms, case by case and against the model."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ratelimitd._ext.limit import probe
from tests.model import window as model
from tests.model.window import BUCKET, FIXED, MOST, SLIDING, Rule

END_OF_TIME = 2**55  # milliseconds: where window.pxd stops the clock, a million years from now

T0 = 1_700_000_000_000
RULES = [
    Rule(10, 1000),
    Rule(10, 1000, SLIDING, 8),
    Rule(10, 1001, SLIDING, 3),
    Rule(10, 1000, FIXED),
    Rule(10, 1000, BUCKET),
]


def admitted(window: probe.Window, now: int, attempts: int, cost: int = 1) -> int:
    count = 0
    for _ in range(attempts):
        if not window.peek(now, cost)[3]:
            window.charge(now, cost)
            count += 1
    return count


@pytest.mark.parametrize("rule", RULES)
def test_a_fresh_window_admits_exactly_the_limit(rule: Rule) -> None:
    for start in (T0, T0 + 1, T0 + 999):
        window = probe.Window(rule, start)
        assert admitted(window, start, 25) == 10
        assert window.peek(start, 1)[3]
        assert not window.peek(start, 0)[3]


@pytest.mark.parametrize("rule", RULES)
def test_the_limit_itself_fits_and_one_more_does_not(rule: Rule) -> None:
    window = probe.Window(rule, T0)
    assert window.peek(T0, 10) == (0, 10, 0, False)
    used, remaining, reset, over = window.peek(T0, 11)
    assert (used, remaining, over, reset) == (0, 10, True, rule.window_ms)


@pytest.mark.parametrize("rule", RULES)
def test_a_ban_denies_every_hit_and_lets_peeks_see_it(rule: Rule) -> None:
    window = probe.Window(rule._replace(limit=0), T0)
    assert window.peek(T0, 1) == (0, 0, rule.window_ms, True)
    assert window.peek(T0, 0) == (0, 0, 0, False)


@pytest.mark.parametrize("rule", RULES)
def test_counts_saturate(rule: Rule) -> None:
    window = probe.Window(rule, T0)
    for _ in range(3):
        window.charge(T0, MOST)
    used, remaining, _, over = window.peek(T0, MOST)
    assert (used, remaining, over) == (MOST, 0, True)


@pytest.mark.parametrize("rule", RULES)
def test_the_retry_time_is_exact(rule: Rule) -> None:
    """A millisecond before reset_after the cost does not fit, at reset_after it does."""
    window = probe.Window(rule, T0)
    for step in range(10):
        window.charge(T0 + step * 70, 1)
    now = T0 + 700
    for cost in range(1, 11):
        *_, reset, over = window.peek(now, cost)
        if over:
            assert window.peek(now + reset - 1, cost)[3]
            assert not window.peek(now + reset, cost)[3]


@pytest.mark.parametrize("rule", RULES)
def test_a_small_step_back_never_refills(rule: Rule) -> None:
    window = probe.Window(rule, T0)
    window.charge(T0 + 5000, 10)
    for back in range(0, 1001, 37):
        assert window.peek(T0 + 5000 - back, 1)[3]


@pytest.mark.parametrize("rule", RULES)
def test_a_far_step_back_is_followed_with_the_count_kept(rule: Rule) -> None:
    window = probe.Window(rule, T0)
    window.charge(T0, 6)
    past = T0 - 3_600_000
    assert window.peek(past)[0] == 6
    window.charge(past, 4)
    assert window.peek(past, 1)[3]
    assert window.peek(past)[0] == 10
    assert window.peek(past + 2 * rule.window_ms + 1)[0] == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_huge_step_forward_empties(rule: Rule) -> None:
    window = probe.Window(rule, T0)
    window.charge(T0, 10)
    for later in (T0 + 3000, T0 + 86_400_000 * 365):
        assert window.peek(later) == (0, 10, 0, False)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("now", [-(2**63), -1, 0, 2**62, 2**63 - 1])
def test_no_clock_value_breaks_it(rule: Rule, now: int) -> None:
    window = probe.Window(rule, now)
    assert admitted(window, now, 12) == 10
    window.expires(now)
    window.used(now)


def test_a_million_a_second_does_not_drift() -> None:
    """A token bucket of 1e6/s, burst 1000, asked for 1000 each ms: exactly what the rate allows."""
    window = probe.Window(Rule(1000, 1, BUCKET), T0)
    assert all(admitted(window, T0 + ms, 1, cost=1000) == 1 for ms in range(100_000))
    odd = probe.Window(Rule(7, 1009, BUCKET), T0)
    total = sum(admitted(odd, T0 + ms, 8) for ms in range(0, 1009 * 50))
    assert total == 7 + 7 * 50 - 1  # the last of the 50 refills completes one ms after the end


def test_fixed_windows_are_aligned_to_the_epoch() -> None:
    window = probe.Window(Rule(5, 60_000, FIXED), 59_999)
    assert admitted(window, 59_999, 9) == 5
    assert window.peek(59_999, 1) == (5, 0, 1, True)
    assert admitted(window, 60_000, 9) == 5
    assert window.peek(60_000, 1) == (5, 0, 60_000, True)


def test_a_sliding_estimate_is_the_weighted_sum_rounded_up() -> None:
    window = probe.Window(Rule(100, 1000), 0)
    window.charge(500, 80)
    assert window.peek(1000)[0] == 80
    assert window.peek(1300)[0] == 56
    assert window.peek(1301)[0] == 56  # 55.92
    window.charge(1400, 10)
    assert window.peek(1500)[0] == 50


def test_two_buckets_leave_words_for_what_peers_know() -> None:
    window = probe.Window(Rule(100, 1000), 0)
    for now in range(0, 5000, 111):
        window.charge(now, 3)
    assert window.words()[3:] == [0] * 7


def test_clear_forgets_the_hits() -> None:
    for rule in RULES:
        window = probe.Window(rule, T0)
        window.charge(T0, 10)
        window.clear()
        assert window.peek(T0) == (0, 10, 0, False)


def test_a_bucket_number_beyond_32_bits_never_refills() -> None:
    """Only the low half of the number is stored: whatever the distance, a live count is never lost."""
    rule = Rule(10, 1, SLIDING, 8)
    for now in (T0, 2**40, 2**45):
        window = probe.Window(rule, now)
        window.charge(now, 10)
        for later in (0, 1):
            assert window.peek(now + later)[0] == 10
        assert window.peek(now + 3)[0] == 0
        assert window.peek(now + (2**31 // 8) - 8)[0] == 0


rules = st.builds(
    lambda limit, window_ms, kind: Rule(limit, window_ms, *kind),
    st.one_of(st.integers(0, 20), st.integers(0, MOST)),
    st.one_of(st.integers(1, 50), st.integers(1, 100_000), st.integers(1, MOST)),
    st.sampled_from([(FIXED, 1), (BUCKET, 1), *((SLIDING, n) for n in range(1, 9))]),
)
costs = st.one_of(st.integers(0, 5), st.integers(0, MOST))
names = st.sampled_from(["peek", "charge", "take", "hit"])
operations = st.lists(st.tuples(names, costs, st.integers(0, 9)), max_size=30)


def step(now: int, window_ms: int, choice: int) -> int:
    """Steps of a clock that mostly creeps, sometimes jumps, sometimes goes back."""
    steps = [0, 1, window_ms // 7 + 1, window_ms // 2, window_ms, 2 * window_ms + 1, window_ms * 1000]
    steps += [-1, -(window_ms // 3 + 1), -3 * window_ms - 1]
    return max(0, now + steps[choice])


@settings(max_examples=500, deadline=None)
@given(rules, operations, st.integers(0, 2**41), st.integers(0, 3))
def test_native_equals_model(rule: Rule, script: list[tuple[str, int, int]], now: int, used: int) -> None:
    native, truth = probe.Window(rule, now, used), model.fresh(rule, now, used)
    for operation, cost, choice in script:
        now = step(now, rule.window_ms, choice)
        expected = model.peek(rule, truth, now, cost)
        assert native.peek(now, cost) == expected
        if operation == "charge" or (operation == "hit" and not expected.over):
            native.charge(now, cost)
            model.charge(rule, truth, now, cost)
        elif operation == "take":
            model.charge(rule, truth, now, cost)
            assert native.take(now, cost) == model.peek(rule, truth, now, 0)
        assert native.used(now) == truth.used(now, rule)


rates = st.lists(st.tuples(st.one_of(st.integers(0, 20), st.integers(0, MOST)), st.integers(1, MOST)), min_size=1)


@settings(max_examples=500, deadline=None)
@given(rates, operations, st.integers(0, 2**41))
def test_a_token_bucket_lives_through_changes_of_its_rate(
    rates: list[tuple[int, int]], script: list[tuple[str, int, int]], now: int
) -> None:
    """Whatever the rates and the clock, counter and model agree, and a full bucket is never more than its burst."""
    rule = charged = Rule(*rates[0], BUCKET)
    native, truth = probe.Window(rule, now), model.fresh(rule, now)
    for turn, (operation, cost, choice) in enumerate(script):
        now = step(now, rule.window_ms, choice)
        changed = Rule(*rates[turn % len(rates)], BUCKET)
        native.set_rate(changed.limit, changed.window_ms)
        expected = model.peek(changed, truth, now, cost)
        assert native.peek(now, cost) == expected
        if operation != "peek" and not expected.over:
            native.charge(now, cost)
            model.charge(changed, truth, now, cost)
            charged = changed
        assert native.used(now) == truth.used(now, charged)
        rule = changed


def test_a_changed_rate_refills_nothing_and_frees_within_its_window() -> None:
    for old, new in [
        ((10, 1000), (10, 60_000)),
        ((10, 60_000), (10, 1000)),
        ((MOST, MOST), (1, 1)),
        ((MOST, 1), (MOST, MOST)),
        ((1000, 1000), (3, 500)),
        ((7, MOST), (MOST, 7)),
    ]:
        window = probe.Window(Rule(*old, BUCKET), T0)
        window.charge(T0, old[0])
        window.set_rate(*new)
        used, remaining, reset, _ = window.peek(T0, 1)
        assert used == min(old[0], new[0])
        assert remaining == new[0] - used
        assert reset <= new[1]
        assert window.peek(T0 + new[1])[:2] == (0, new[0])


def test_a_lifted_ban_refills_nothing() -> None:
    window = probe.Window(Rule(10, 60_000, BUCKET), T0)
    window.charge(T0, 10)
    window.set_rate(0, 1000)
    window.charge(T0, 0)
    window.set_rate(10, 60_000)
    assert window.peek(T0, 1)[3]


@settings(max_examples=300, deadline=None)
@given(rules, operations, st.integers(0, 2**41))
@example(Rule(0, 162785014, BUCKET, 1), [("charge", 221327481, 0)], 0)  # expires after the end of time
def test_expiry_is_the_first_moment_without_hits(rule: Rule, script: list[tuple[str, int, int]], now: int) -> None:
    window = probe.Window(rule, now)
    for _, cost, choice in script:
        now = step(now, rule.window_ms, choice)
        window.charge(now, cost)
    expires = window.expires(now)
    if window.used(now):
        assert expires > now
        assert window.used(expires - 1) > 0
    if 0 < expires <= END_OF_TIME:
        assert window.used(max(expires, now)) == 0
