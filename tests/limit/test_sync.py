"""Several tables and a store: what one counts the others learn, whatever is lost, repeated, evicted or reset."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd._ext.limit import probe
from ratelimitd.errors import EngineError
from tests.model.store import CLEAR, REPLACE, Store, records
from tests.model.table import Hit
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

T0 = 1_700_000_000_000
WIDE = 1_000_000
KINDS = [(SLIDING, 1), (SLIDING, 2), (SLIDING, 7), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)]


def digest(number: int) -> tuple[int, int]:
    return probe.hash_key(1, 2, number.to_bytes(8, "little"))


def as_bytes(key: tuple[int, int]) -> bytes:
    return b"".join(half.to_bytes(8, "little") for half in key)


@dataclass
class Node:
    number: int
    max_keys: int = 1000
    table: probe.Table = field(init=False)

    def __post_init__(self) -> None:
        self.table = probe.Table(self.max_keys, sync=True)

    def hit(self, key: int, rule: Rule, now: int, cost: int = 1) -> bool:
        return bool(self.table.decide([Hit(digest(key), rule, cost)], now)[0] < 0)

    def used(self, key: int, rule: Rule, now: int) -> int:
        seen = self.table.lookup(digest(key), rule, now)
        return int(seen[0]) if seen else 0

    def flush(self, store: Store, now: int, *, heard: bool = True) -> None:
        for _, groups in self.table.pack(now):
            replies = store.flush(self.number, groups, now)
            if heard:
                self.table.merge(groups, replies, now)
            else:
                self.table.unsent(groups)


def rule_of(kind: tuple[int, int], limit: int = WIDE, window_ms: int = 60_000) -> Rule:
    return Rule(limit, window_ms, *kind)


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_learn_of_each_other(kind: tuple[int, int]) -> None:
    rule, store, nodes = rule_of(kind, WIDE, 60_000_000), Store(), [Node(1), Node(2), Node(3)]
    for node in nodes:
        node.hit(1, rule, T0, 10 * node.number)
    for _ in range(2):
        for node in nodes:
            node.hit(1, rule, T0, 0 if _ == 0 else 1)
            node.flush(store, T0)
    nodes[0].hit(1, rule, T0)
    nodes[0].flush(store, T0)
    assert nodes[0].used(1, rule, T0) == 64


def test_only_dirty_counters_travel_and_each_once() -> None:
    rule, node = rule_of((SLIDING, 1)), Node(1)
    assert node.table.pack(T0) == []
    for key in range(100):
        node.hit(key, rule, T0)
    packed = node.table.pack(T0)
    assert [shard for shard, _ in packed] == sorted({digest(key)[0] >> 57 for key in range(100)})
    seen = [(shard, record) for shard, groups in packed for group in groups for record in records(group)]
    assert all(record[0][7] >> 1 == shard for shard, record in seen)
    spans = Counter(record[0] for _, record in seen)
    assert spans == {as_bytes(digest(key)): 2 for key in range(100)}  # both spans: it has never heard of them
    assert node.table.pack(T0) == []
    for _, groups in packed:
        node.table.merge(groups, [bytes(len(group[3]) // 6) for group in groups], T0)
    node.hit(5, rule, T0 + 1000)
    (seen_shard, groups), *_ = node.table.pack(T0 + 1000)
    assert seen_shard == digest(5)[0] >> 57
    assert [own for group in groups for *_, own in records(group)] == [2]


def test_a_shards_flush_is_bounded_and_the_rest_waits() -> None:
    rule, node, keys = rule_of((FIXED, 1)), Node(1, 10_000), range(5000)
    for key in keys:
        node.hit(key, rule, T0)
    seen: Counter[bytes] = Counter()
    for _ in range(20):
        for _, groups in node.table.pack(T0, limit=7):
            found = [record[0] for group in groups for record in records(group)]
            assert len(found) <= 7
            seen.update(found)
    assert seen == {as_bytes(digest(key)): 1 for key in keys}


def test_shards_that_nobody_asked_for_stay_dirty() -> None:
    rule, node = rule_of((FIXED, 1)), Node(1)
    for key in range(300):
        node.hit(key, rule, T0)
    wanted = {0, 1, 64, 127}
    assert {shard for shard, _ in node.table.pack(T0, wanted)} <= wanted
    assert node.table.sync_stats()["dirty"] == sum(digest(key)[0] >> 57 not in wanted for key in range(300))


def test_a_late_answer_to_an_evicted_counter_is_skipped() -> None:
    rule, node, store = rule_of((FIXED, 1)), Node(1), Store()
    node.hit(1, rule, T0)
    ((_, groups),) = node.table.pack(T0)
    replies = store.flush(1, groups, T0)
    node.table.reset(digest(1), rule, T0)
    assert node.table.merge(groups, replies, T0) == 0
    assert node.used(1, rule, T0) == 0


@pytest.mark.parametrize("reply", [b"", b"\0" * 3, b"\0" * 8, None, "text", 7])
def test_an_answer_of_the_wrong_size_changes_nothing(reply: object) -> None:
    rule, node = rule_of((FIXED, 1)), Node(1)
    node.hit(1, rule, T0)
    ((_, groups),) = node.table.pack(T0)
    with pytest.raises(EngineError):
        node.table.merge(groups, [reply], T0)
    with pytest.raises(EngineError):
        node.table.merge(groups, [], T0)
    assert node.used(1, rule, T0) == 1
    assert node.table.merge(groups, [b"\xff\xff\xff\xff"], T0) == 1
    assert node.used(1, rule, T0) == 2**32 - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_comes_late_reads_all_that_still_counts(kind: tuple[int, int]) -> None:
    """Hits spread over a window; a new node then sees about what an old one does, and never less."""
    rule, store, old = rule_of(kind), Store(), Node(1)
    start = T0 // 60_000 * 60_000
    now = start
    for now in range(start, start + 90_000, 1000):
        old.hit(1, rule, now, 10)
        old.flush(store, now)
    fresh = Node(2)
    fresh.hit(1, rule, now)
    fresh.flush(store, now)
    truth = old.used(1, rule, now)
    assert fresh.used(1, rule, now) >= truth + (kind[0] != BUCKET)
    if kind[0] != BUCKET:
        assert fresh.used(1, rule, now) == truth + 1


def test_a_token_bucket_that_comes_late_is_charged_for_the_worst_case() -> None:
    """A full burst a moment ago, or early in the span before: it cannot know, and so refills no one."""
    rule, store, old = Rule(1000, 10_000, BUCKET), Store(), Node(1)
    start = T0 // 10_000 * 10_000
    old.hit(1, rule, start + 9_999, 1000)
    old.flush(store, start + 9_999)
    for later, least in ((0, 1000), (2_500, 750), (9_999, 1)):
        fresh = Node(2)
        now = start + 10_000 + later
        fresh.hit(1, rule, now)
        fresh.flush(store, now)
        assert least <= fresh.used(1, rule, now) <= least + 2


def test_a_rollover_brings_the_others_last_hits() -> None:
    rule, store, a, b = rule_of((SLIDING, 1)), Store(), Node(1), Node(2)
    end = (T0 // 60_000 + 1) * 60_000
    for node in (a, b):
        node.hit(1, rule, end - 50)
        node.flush(store, end - 50)
    b.hit(1, rule, end - 1, 100)  # flushed only after the end
    a.hit(1, rule, end + 10)
    a.flush(store, end + 10)
    b.flush(store, end + 20)
    a.hit(1, rule, end + 110)
    a.flush(store, end + 110)
    assert a.used(1, rule, end + 110) == 104


@pytest.mark.parametrize("kind", KINDS[:-1])  # a token bucket forgets them faster than that
def test_a_node_that_was_cut_off_is_heard_of_later(kind: tuple[int, int]) -> None:
    """It flushes the hits of a span that is long over for who heard of it in time, but still counts."""
    rule, store, a, b = rule_of(kind, WIDE, 1_200_000), Store(), Node(1), Node(2)
    end = (T0 // 1_200_000 + 1) * 1_200_000
    for now in range(end - 2_000, end + 40_000, 100):
        a.hit(1, rule, now)
        a.flush(store, now)
        if now in (end - 1_900, end + 20_000):
            b.hit(1, rule, now, 10_000)
        if now == end + 20_000:
            b.flush(store, now)
    truth = 420 + 20_000 if kind[0] != FIXED else 400 + 10_000
    assert 0.95 * truth < a.used(1, rule, end + 40_000) <= truth


def test_what_was_reset_counts_nowhere() -> None:
    for kind in KINDS:
        rule, store, nodes = rule_of(kind, WIDE, 60_000_000), Store(), [Node(1), Node(2)]
        for turn in range(3):
            for node in nodes:
                node.hit(1, rule, T0 + turn, 10)
                node.flush(store, T0 + turn)
        assert nodes[1].used(1, rule, T0 + 3) == 60
        nodes[0].table.reset(digest(1), rule, T0 + 3)
        nodes[0].flush(store, T0 + 3)
        nodes[1].hit(1, rule, T0 + 4, 5)
        nodes[1].flush(store, T0 + 4)  # has not heard of it yet
        nodes[1].table.reset(digest(1), rule, T0 + 5, False)
        for turn in range(6, 20):
            for node in nodes:
                node.flush(store, T0 + turn)
        assert [node.used(1, rule, T0 + 20) for node in nodes] == [0, 0]
        assert all(node.table.sync_stats()["dirty"] == 0 for node in nodes)
        nodes[0].hit(1, rule, T0 + 20, 7)
        nodes[0].flush(store, T0 + 20)
        nodes[1].hit(1, rule, T0 + 20, 2)
        nodes[1].flush(store, T0 + 20)
        assert nodes[1].used(1, rule, T0 + 20) == 9


def test_reset_flags_are_kept_until_they_arrived() -> None:
    rule, node = rule_of((FIXED, 1)), Node(1)

    def flags() -> set[int]:
        return {record[2] & 3 for _, groups in node.table.pack(T0) for group in groups for record in records(group)}

    node.hit(1, rule, T0)
    assert flags() == {0}
    node.table.reset(digest(1), rule, T0, False)
    assert flags() == {REPLACE}
    ((_, groups),) = node.table.pack(T0)
    node.table.unsent(groups)
    assert flags() == {REPLACE}
    node.table.reset(digest(1), rule, T0)
    assert flags() == {CLEAR}
    ((_, groups),) = node.table.pack(T0)
    node.table.merge(groups, [b"\0" * 4], T0)
    assert flags() == {0}


actions = st.lists(
    st.tuples(
        st.integers(0, 2),  # node
        st.sampled_from(["hit", "hit", "hit", "flush", "lost question", "lost answer", "lose", "restart"]),
        st.integers(0, 3),  # key
        st.integers(1, 50),  # cost
        st.sampled_from([0, 1, 50, 100]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(actions, st.sampled_from(KINDS), st.sampled_from([700, 5_000, 60_000]))
def test_when_all_is_flushed_all_nodes_know_all(
    script: list[tuple[int, str, int, int, int]], kind: tuple[int, int], window_ms: int
) -> None:
    """Flushes that are lost on the way there or back, a store that loses everything, nodes that start anew: afterwards
    who hits a key knows exactly the hits of all, by span; a token bucket is never fuller than the truth."""
    rule, store, now, next_node = rule_of(kind, WIDE, window_ms), Store(), T0, 4
    nodes = [Node(1), Node(2), Node(3)]
    alone = probe.Table(1000)  # sees all hits
    parts = kind[1]
    width = -(-window_ms // parts)
    healed = now

    def heal() -> None:
        for _ in range(2):  # all send, then all read
            for node in nodes:
                node.table.resync()
                node.flush(store, now)

    for who, what, key, cost, pause in script:
        if now - healed > 200:  # who is cut off for longer is heard later
            heal()
            healed = now
        now += min(pause, width - 1, 100)
        node = nodes[who]
        if what == "hit":
            node.hit(key, rule, now, cost)
            alone.decide([Hit(digest(key), rule, cost)], now)
        elif what == "flush":
            node.flush(store, now)
        elif what == "lost question":
            for _, groups in node.table.pack(now):
                node.table.unsent(groups)
        elif what == "lost answer":
            node.flush(store, now, heard=False)
        elif what == "lose":
            if next_node == 4:  # nobody else remembers the hits of a node that is gone
                store.lose()
            heal()
        else:
            heal()  # SIGTERM flushes first
            nodes[who] = Node(next_node)
            next_node += 1
    heal()
    for key in range(4):
        for node in nodes:  # a hit makes a counter read; of 0 hits it does not
            node.hit(key, rule, now)
            alone.decide([Hit(digest(key), rule, 1)], now)
    heal()
    for key in range(4):
        for node in nodes:
            node.hit(key, rule, now)
            alone.decide([Hit(digest(key), rule, 1)], now)
    heal()
    for key in range(4):
        truth = alone.lookup(digest(key), rule, now)[0]
        for node in nodes:
            if kind[0] == BUCKET:
                assert node.used(key, rule, now) >= truth
            else:
                assert node.used(key, rule, now) == truth


@pytest.mark.parametrize("kind", [(SLIDING, 1), (SLIDING, 8), (FIXED, 1)])
def test_eviction_and_return_lose_no_hit(kind: tuple[int, int]) -> None:
    """A table of 200 keys that meets 2,000: what was flushed is in the store, and who returns counts it again."""
    rule, store, node, other = rule_of(kind, WIDE, 600_000), Store(), Node(1, 200), Node(2, 10_000)
    for turn in range(3):
        for key in range(2000):
            node.hit(key, rule, T0 + turn)
            if key % 50 == 49:
                node.flush(store, T0 + turn)
    for _ in range(2):
        for key in range(2000):
            other.hit(key, rule, T0 + 10)
        other.flush(store, T0 + 10)
    assert node.table.stats()["evicted"] > 1000
    assert node.table.stats()["sketched"] == 0
    assert [other.used(key, rule, T0 + 10) for key in range(2000)] == [5] * 2000
    for key in range(0, 2000, 40):
        node.hit(key, rule, T0 + 20)
        node.flush(store, T0 + 20)
        assert node.used(key, rule, T0 + 20) >= 6


def test_a_dirty_counter_is_not_dropped_for_another_key() -> None:
    rule, node = rule_of((SLIDING, 1)), Node(1, 50)
    for key in range(200):
        node.hit(key, rule, T0)
    assert node.table.stats()["evicted"] == 0
    assert node.table.stats()["sketched"] == 150
    node.table.pack(T0)
    for key in range(200, 250):
        node.hit(key, rule, T0)
    assert node.table.stats()["evicted"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_steps_refills_nothing_and_sends_nothing_twice(kind: tuple[int, int]) -> None:
    rule, store, node, other = rule_of(kind, WIDE, 10_000), Store(), Node(1), Node(2)
    for step in (0, -300, -4_000, -25_000, -3_600_000, 500, 1):
        now = T0 + step
        node.hit(1, rule, now, 10)
        node.flush(store, now)
    assert node.used(1, rule, T0 + 1) >= 10
    now = T0 + 2
    for _ in range(2):
        other.hit(1, rule, now)
        other.flush(store, now)
    assert 12 <= other.used(1, rule, now) <= 72


def test_threads_hit_while_others_flush() -> None:
    """Every hit is in the store in the end, once."""
    rule, store, keys = rule_of((SLIDING, 1), WIDE * 10, 3_600_000), Store(), [digest(k) for k in range(500)]
    node = Node(1, 100_000)
    admitted = [0, 0]
    done = threading.Event()

    def work(me: int) -> None:
        admitted[me] = node.table.hammer(keys, rule, 40_000, 5 + me, T0, 2)

    def flush() -> None:
        while not done.is_set():
            node.flush(store, T0)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(2)]
    flusher = threading.Thread(target=flush)
    for thread in (flusher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    flusher.join()
    node.flush(store, T0)
    total = sum(store.total(3_600_000, 1, T0 // 3_600_000, as_bytes(key)) for key in keys)
    assert total == 2 * sum(admitted)
    assert sum(node.table.lookup(key, rule, T0)[0] for key in keys) == total
