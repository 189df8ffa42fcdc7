# Leased limits: a node admits only what the store has granted it for the span that now is in. What a grant is not needed for goes back. Of
# windows of one bucket: fixed, and sliding by two buckets. All functions want the shard's lock held.
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport KIND_BUCKET, SLOT_KIND_SHIFT, counter_shard, counter_slot, counter_sync
from ratelimitd._ext.limit.sync cimport sync_parts
from ratelimitd._ext.limit.window cimport window_rule


# What a leased counter keeps in counter_sync.own beside its hits of two spans.
cdef enum:
    LEASE_HELD = 2        # granted for this span, our hits included
    LEASE_NEXT = 3        # for the span after it
    LEASE_DEMAND = 4      # hits that were asked for since the last pack, admitted or not
    LEASE_RATE = 5        # hits that are asked for in 64 ms
    LEASE_LIMIT = 6
    LEASE_OTHERS = 7      # granted to others
    LEASE_STATE = 8       # LEASED and maybe LEASE_DRY; 0: not leased
    LEASED = 1
    LEASE_DRY = 2         # the store had not as much as we wanted


# Little endian, 32 bytes.
cdef struct lease_record:
    key_digest digest
    uint16_t incarnation
    uint16_t flags        # as in pack_record
    uint32_t held         # may be spent at any time
    uint32_t want         # in all, never below held
    uint32_t limit


cdef inline bint lease_fits(const window_rule *rule) noexcept nogil:
    """Can a window of this kind be leased?"""
    return rule.algorithm != 2 and rule.buckets <= 1


cdef inline bint is_leased(const counter_shard *shard, uint32_t at) noexcept nogil:
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT
    return kind != KIND_BUCKET and sync_parts(kind) == 1 and shard.sync[at].own[LEASE_STATE] != 0


# A hit of cost on slot number `at`: does a grant cover it? It is noted that it was asked for. number: of the span that now is in.
# *urgent: more should be asked for at once.
cdef bint lease_take(counter_shard *shard, uint32_t at, const window_rule *rule, uint32_t number, uint32_t cost, bint dry, bint *urgent) noexcept nogil

# What slot number `at` has to say to the store: up to three records for the spans before, of, and after `number`. Which of out[3] are to be
# sent is the result, a bit each; those that need nothing are left out. done: there is nothing more to come until its next hit.
cdef uint32_t lease_pack(counter_shard *shard, uint32_t at, uint64_t number, uint32_t window_ms, int64_t now_ms, lease_record *out, bint *done) noexcept nogil

# The store's answer to a record of span `number`.
cdef void lease_merge(counter_shard *shard, uint32_t at, const lease_record *record, uint32_t number, uint32_t granted, uint32_t others) noexcept nogil
