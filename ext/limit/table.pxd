# The counters: sharded open addressing under a hard cap, one cache line a counter, one lock a shard.
#
# Eviction never refills. A full shard drops an expired counter first, then the least recently used among those that are not near their
# limit, and folds a live one's count into a sketch that can only over-count; a key that comes back starts from the sketch. When
# nothing may be dropped, new keys are counted in the sketch alone.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest, key_secret
from ratelimitd._ext.limit.shard cimport counter_shard
from ratelimitd._ext.limit.window cimport window_rule, window_view


cdef enum:
    TABLE_MAX_HITS = 32   # limits of one check
    TABLE_UNKNOWN = 0
    TABLE_COUNTED = 1
    TABLE_ESTIMATED = 2
    # table_hit.consistency
    TABLE_SYNCED = 0
    TABLE_LOCAL = 1       # counts alone, whatever the table does
    TABLE_LEASED = 2
    # table_hit.on_loss: what decides while the store of a key is lost
    TABLE_LOSS_LOCAL = 0  # what this node knows
    TABLE_LOSS_SHARE = 1  # that, and of what is ours: the limit's share of one node
    TABLE_LOSS_DENY = 2
    TABLE_LOSS_ALLOW = 3


# One limit that applies to a check: in, then out.
cdef struct table_hit:
    key_digest digest
    const window_rule *rule
    uint32_t cost
    uint32_t slot         # the limit's metric slot; stored for /top and eviction by limit
    uint8_t shadow        # never vetoes
    uint8_t consistency
    uint8_t on_loss
    uint8_t lost          # out: it is over because the store is lost
    window_view view      # out: the counter as this hit saw it; remaining and reset_after are after the hit


cdef struct table_stats:
    uint64_t keys, max_keys, inserted, evicted, expired, sketched, bytes


cdef struct counter_table    # opaque


# What a flush goes through, shard by shard. digest.lo >> 1 >> shift is the number of a key's shard.
cdef struct table_shards:
    counter_shard *list
    uint32_t count, shift


# max_keys counters in all; memory is reserved now and touched when used. NULL when out of memory.
cdef counter_table *table_new(uint64_t max_keys) noexcept nogil
cdef void table_free(counter_table *table) noexcept nogil

# Touches the memory that was reserved, before anybody counts: else the first hits wait for their pages. 0 when there is not so much.
cdef bint table_commit(counter_table *table) noexcept nogil

# Before anybody counts: from now on every counter remembers what the cluster has to know of it. 0 when there is not so much memory.
cdef bint table_sync(counter_table *table) noexcept nogil
cdef table_shards table_get_shards(const counter_table *table) noexcept nogil

# Which shards' store is lost, as two words of bits, and how many nodes there are, this one among them. Of a table that syncs.
cdef void table_sync_state(counter_table *table, uint64_t lost_low, uint64_t lost_high, uint32_t nodes) noexcept nogil

# A descriptor that is readable when a shard should not wait for its next flush, and which those are; asking makes it quiet.
cdef int table_bell(const counter_table *table) noexcept nogil
cdef void table_take_urgent(counter_table *table, uint64_t *low, uint64_t *high) noexcept nogil

# Decides and counts `count` hits as one: shards are locked in order, every hit is peeked, then charged.
# all_or_none: when a non-shadow hit is over, only nothing is charged (shadow hits neither); else every hit that fits is charged and
# those that are over are not. dry: charge nothing. Returns the index of the first non-shadow hit that is over, or -1.
cdef int table_decide(counter_table *table, table_hit *hits, int count, bint all_or_none, bint dry, int64_t now_ms) noexcept nogil

# Decides as above, and charges every hit, whether it fits or not.
cdef int table_count(counter_table *table, table_hit *hits, int count, int64_t now_ms) noexcept nogil

# Charges every hit, whether it fits or not, and views it after that; nothing is over. For what is known only when the check is decided.
cdef void table_charge(counter_table *table, table_hit *hits, int count, int64_t now_ms) noexcept nogil

# Look without counting: TABLE_COUNTED and *out, TABLE_ESTIMATED when only the sketch knows the key (used is then no less than its hits
# in the window, and may be those of others), or TABLE_UNKNOWN.
cdef int table_lookup(counter_table *table, const key_digest *digest, const window_rule *rule, int64_t now_ms, window_view *out) noexcept nogil

# Forgets a key's hits, also those that only the sketch knows: 1, or 0 when the key is unknown. rule, slot: as in a hit of the key.
# A table that syncs also tells the store: `everywhere` that nobody's hits count any more, else that ours do not.
cdef int table_reset(
    counter_table *table, const key_digest *digest, const window_rule *rule, uint32_t slot, bint everywhere, int64_t now_ms) noexcept nogil

cdef void table_get_stats(counter_table *table, table_stats *out) noexcept nogil
