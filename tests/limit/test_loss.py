"""A store that is lost: each limit says what then."""

from __future__ import annotations

import pytest

from ratelimitd._ext.limit import probe
from ratelimitd.errors import EngineError
from tests.model.store import Store
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

from .test_sync import T0, Node, digest

KINDS = [(SLIDING, 1), (SLIDING, 8), (FIXED, 1), (BUCKET, 1)]
SYNCED, ALONE = 0, 1
LOCAL, SHARE, DENY, ALLOW = range(4)
LOST, FOUND = b"\1" * 128, bytes(128)


def decide(
    node: Node, rule: Rule, now: int, on_loss: int, cost: int = 1, consistency: int = SYNCED, shadow: bool = False
) -> bool:
    hit = (digest(1), rule, cost, shadow, 0, consistency, on_loss)
    return bool(node.table.decide([hit], now)[0] < 0)


def admitted(node: Node, rule: Rule, now: int, on_loss: int, tries: int = 40) -> int:
    return sum(decide(node, rule, now, on_loss) for _ in range(tries))


@pytest.mark.parametrize("kind", KINDS)
def test_each_word(kind: tuple[int, int]) -> None:
    rule = Rule(10, 60_000, *kind)
    for on_loss, expected in ((LOCAL, 10), (SHARE, 4), (DENY, 0), (ALLOW, 40)):
        node = Node(1)
        node.table.sync_state(LOST, 3)
        assert admitted(node, rule, T0, on_loss) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_is_of_what_is_ours_and_not_above_what_is_known_of_all(kind: tuple[int, int]) -> None:
    rule, store, a, b = Rule(30, 600_000, *kind), Store(), Node(1), Node(2)
    for node in (a, b, a):
        node.hit(1, rule, T0, 8 if node is b else 3)
        node.flush(store, T0)
    assert a.used(1, rule, T0) == 14
    a.table.sync_state(LOST, 3)
    assert admitted(a, rule, T0, SHARE) == 4
    b.table.sync_state(LOST, 1)
    assert b.used(1, rule, T0) == 11
    assert admitted(b, rule, T0, SHARE) == 19


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_frees_itself_with_its_window(kind: tuple[int, int]) -> None:
    """Over ten windows a node admits its share of what one limiter would."""
    rule, node = Rule(300, 1000, *kind), Node(1)
    node.table.sync_state(LOST, 3)
    passed = sum(decide(node, rule, T0 + ms, SHARE) for ms in range(10_000))
    assert 900 <= passed <= 1150


def test_what_comes_back_is_merged_and_not_let_through() -> None:
    rule, store, nodes = Rule(100, 60_000, FIXED), Store(), [Node(1), Node(2), Node(3)]
    start = T0 // 60_000 * 60_000
    for node in nodes:
        node.table.sync_state(LOST, 3)
        assert admitted(node, rule, start, SHARE) == 34
    for node in nodes:
        node.table.sync_state(FOUND, 3)
    for _ in range(2):
        for node in nodes:
            node.table.resync()
            node.flush(store, start + 1000)
    assert [node.used(1, rule, start + 1000) for node in nodes] == [102] * 3
    assert [admitted(node, rule, start + 1000, SHARE) for node in nodes] == [0, 0, 0]


def test_a_denial_for_want_of_the_store_charges_nothing_and_says_when_to_retry() -> None:
    rule, node = Rule(10, 60_000), Node(1)
    decide(node, rule, T0, DENY)
    node.table.sync_state(LOST, 3)
    first, ((used, remaining, reset_after_ms, over),) = node.table.decide([(digest(1), rule, 1, False, 0, 0, DENY)], T0)
    assert (first, used, remaining, reset_after_ms, over) == (0, 1, 0, 1000, True)
    assert decide(node, rule, T0, DENY, cost=0)  # a peek is free
    assert decide(node, rule, T0, DENY, shadow=True)


def test_what_is_allowed_beyond_the_limit_is_not_counted() -> None:
    rule, node = Rule(10, 60_000), Node(1)
    node.table.sync_state(LOST, 3)
    assert admitted(node, rule, T0, ALLOW) == 40
    assert node.used(1, rule, T0) == 10
    assert decide(node, rule, T0, ALLOW, cost=11)
    node.table.sync_state(FOUND, 3)
    assert not decide(node, rule, T0, ALLOW)


def test_only_keys_of_lost_shards_are_concerned() -> None:
    rule, node = Rule(10, 60_000), Node(1)
    lost = bytearray(128)
    lost[digest(1)[0] >> 57] = 1
    node.table.sync_state(bytes(lost), 3)
    assert not decide(node, rule, T0, DENY)
    other = next(key for key in range(2, 100) if digest(key)[0] >> 57 != digest(1)[0] >> 57)
    assert node.table.decide([(digest(other), rule, 1, False, 0, 0, DENY)], T0)[0] < 0


def test_what_counts_alone_never_asks_the_store_nor_misses_it() -> None:
    rule, node = Rule(10, 60_000), Node(1)
    node.table.sync_state(LOST, 3)
    assert sum(decide(node, rule, T0, DENY, consistency=ALONE) for _ in range(20)) == 10
    assert node.table.pack(T0) == []


def test_a_table_without_a_store_knows_no_loss() -> None:
    table = probe.Table(100)
    hit = (digest(1), Rule(10, 60_000), 1, False, 0, 0, DENY)
    assert sum(table.decide([hit], T0)[0] < 0 for _ in range(20)) == 10


def test_a_set_of_shards_has_128() -> None:
    with pytest.raises(EngineError):
        Node(1).table.sync_state(b"\1", 3)
