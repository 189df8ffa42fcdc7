"""Where things lie in the store: 128 shards, each a hash tag, so that all keys of a shard are in one slot.

A shard is the top seven bits of a key's digest, the same on all nodes. Shard i has a tag whose slot lies in the i-th
128th of Redis Cluster's 16,384, so the shards spread evenly over masters however the slots are dealt.
"""

from __future__ import annotations

from itertools import count

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

SHARDS = 128
SLOTS = REDIS_CLUSTER_HASH_SLOTS
GRACE_MS = 60_000  # what a hash outlives its last use by: clocks differ
DEMAND_PARTS = 9  # of a group that tells what is asked for, and is soon of no use


def expires_at_ms(window_ms: int, parts: int, number: int) -> int:
    """When nobody asks for a span any more (ms since the epoch)."""
    ends = (number + 1 + parts) * window_ms // parts
    return ends if parts == DEMAND_PARTS else ends + GRACE_MS


class Layout:
    """The names of all keys under a prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.tags = [_tag(prefix, shard) for shard in range(SHARDS)]
        self.slots = [key_slot(tag.encode()) for tag in self.tags]
        self.generations = [f"{{{tag}}}:g" for tag in self.tags]
        self.nodes = f"{{{prefix}}}:nodes"
        self.hash_key = f"{{{prefix}}}:key"
        self.events = f"{{{prefix}}}:events"
        self.slot = key_slot(prefix.encode())  # of these three

    def counts(self, shard: int, window_ms: int, parts: int, number: int) -> str:
        """The hash of one span: digest -> parts of the nodes."""
        return f"{{{self.tags[shard]}}}:c:{window_ms}:{parts}:{number}"

    def leases(self, shard: int, window_ms: int, parts: int, number: int) -> str:
        """The hash of what is granted of one span: digest -> parts of the nodes. parts: as in a group of leases."""
        return f"{{{self.tags[shard]}}}:l:{window_ms}:{-parts}:{number}"


def _tag(prefix: str, shard: int) -> str:
    tags = (f"{prefix}:{shard}.{suffix}" for suffix in count())
    return next(tag for tag in tags if key_slot(tag.encode()) * SHARDS // SLOTS == shard)
