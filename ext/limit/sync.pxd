# What a counter remembers of the cluster: which of its hits are ours, by span, and when the others were last heard. One cache line beside
# every slot of a shard, only there when the table syncs. All functions want the shard's lock held.
#
# A span is the stretch of time that one bucket of a window covers: window_ms / parts, counted from the epoch, so that all nodes agree on
# its number. parts is the number of buckets of a sliding window; fixed windows and token buckets have spans of a whole window.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.limit.shard cimport KIND_BUCKET, KIND_FIXED, KIND_LONG, RL_GROUP, SLOT_KIND_SHIFT, counter_shard, counter_slot, counter_sync
from ratelimitd._ext.limit.window cimport WINDOW_LONG


cdef enum:
    SYNC_OWN = 9              # spans of the longest ring: 8 buckets and the partial oldest
    SYNC_KNOWN = 7            # token buckets keep here what is known of the others' hits, two spans
    SYNC_SHARDS = 128
    SYNC_RATIO = 64           # a ratio of 1
    SYNC_FEW = 64             # limits up to this are never denied by assumption
    SYNC_BRIEF_MS = 2000      # in windows up to this, others are assumed to do as we do until they were heard
    SYNC_FORESIGHT_MS = 250   # what others may not have told yet when they were heard, they have told by then
    SYNC_LEVEL_MS = 256       # counter_sync.level is of so long
    SYNC_DEMAND_MS = 128      # what is asked of a node is told in slices of time as long as this ...
    SYNC_DEMAND_PARTS = 9     # ... of windows that no counter has ...
    SYNC_SHORT_MS = 10000     # ... of counters of windows up to this: of a longer one little is freed while others are not heard
    SYNC_GRACE_MS = 300       # for so long after its end others' last hits of a span may still arrive
    # counter_sync.flags
    SYNC_HEARD = 1            # the store was read since the slot was made
    SYNC_REPLACE = 2          # reset: our earlier parts in the store no longer count ...
    SYNC_CLEAR = 4            # ... nor does anyone's
    SYNC_URGENT = 8           # it was told that this one cannot wait for the next flush
    SYNC_WATCH = 16           # the rest of the flags counts: flushes that still read, because the limit is not far and others may go on
    SYNC_WATCHED = 15 * 16
    SYNC_WOKEN = 1 << 15      # of counter_sync.unsent: the hits since the last pack are the first for long
    SYNC_AGAIN = 5            # flushes after a reset that still read, and may lower: others may have heard of it late


# The store's shard of a key.
cdef inline uint32_t sync_shard(uint64_t digest_lo) noexcept nogil:
    return <uint32_t>(digest_lo >> 57)


# Parts of a window, by slot kind.
cdef inline uint32_t sync_parts(uint32_t kind) noexcept nogil:
    return kind if KIND_FIXED < kind < KIND_BUCKET else 1


# Spans that a counter of a kind keeps.
cdef inline uint32_t sync_size(uint32_t kind) noexcept nogil:
    return sync_parts(kind) + 1


cdef inline bint sync_fixed(uint32_t kind) noexcept nogil:
    return kind == KIND_FIXED or kind == KIND_LONG


cdef inline uint64_t sync_window(const counter_shard *shard, uint32_t at) noexcept nogil:
    """A token bucket may have met another rate since it was made; a ring's window is part of its key."""
    cdef const counter_slot *slot = &shard.slots[at]
    if slot.meta >> SLOT_KIND_SHIFT == KIND_LONG:
        return <uint64_t>shard.windows[at] * WINDOW_LONG
    return slot.state.words[5] if slot.meta >> SLOT_KIND_SHIFT == KIND_BUCKET else shard.windows[at]


cdef inline void sync_mark_dirty(counter_shard *shard, uint32_t at) noexcept nogil:
    shard.dirty[at // RL_GROUP] |= <uint16_t>(1 << (at & (RL_GROUP - 1)))


cdef inline void sync_mark_clean(counter_shard *shard, uint32_t at) noexcept nogil:
    shard.dirty[at // RL_GROUP] &= <uint16_t>~(1 << (at & (RL_GROUP - 1)))


# Brings the spans to `number`, unless the clock stepped back by no more than they cover: then they wait for it.
cdef void sync_roll(counter_sync *side, uint32_t kind, uint32_t number) noexcept nogil

# Slot number `at` was just made, with hits that the sketch knew, if any; number: of the span that now is in.
cdef void sync_begin(counter_shard *shard, uint32_t at, uint32_t number, uint64_t seed, int64_t now_ms) noexcept nogil

# Our hits of now are no longer what slot number `at` was charged with. flag: SYNC_REPLACE or SYNC_CLEAR.
cdef void sync_reset(counter_shard *shard, uint32_t at, uint32_t number, uint8_t flag, int64_t now_ms) noexcept nogil


# The store has something to say of slot number `at` that may change what is decided.
cdef inline void sync_ask(counter_shard *shard, uint32_t at, uint32_t number) noexcept nogil:
    if shard.sync[at].number != number:
        sync_roll(&shard.sync[at], shard.slots[at].meta >> SLOT_KIND_SHIFT, number)
    sync_mark_dirty(shard, at)


# A hit is about to be decided: if it is the first for long, what was heard says nothing of now.
cdef inline void sync_wake(counter_sync *side, int64_t now_ms) noexcept nogil:
    if side.unheard == 0 and <uint32_t>now_ms - side.heard_ms > <uint32_t>SYNC_FORESIGHT_MS and not side.unsent & SYNC_WOKEN:
        side.unsent |= <uint16_t>SYNC_WOKEN
        side.level = <uint16_t>now_ms
        side.owed = 0


cdef inline uint64_t sync_unknown(const counter_sync *side, uint32_t limit) noexcept nogil:
    """How many hits of others may have come since they were last heard: as many as come with ours, in the proportion of what is asked of
    them and of us. So nobody takes more than his share of what is left, and all shares together are the whole of it, however long ago
    that was heard. A few are left out, so that small limits are not denied for what is only assumed."""
    cdef uint64_t unknown
    cdef uint32_t few = 0
    if limit <= SYNC_FEW:
        return 0
    unknown = <uint64_t>max(side.owed, 0) + <uint64_t>side.unheard * side.ratio // SYNC_RATIO
    if limit < 2 * SYNC_FEW:
        few += (2 * SYNC_FEW - limit) // 8
    return unknown - few if unknown > few else 0


cdef inline uint32_t sync_add(uint32_t a, uint32_t b) noexcept nogil:
    return a + b if a <= <uint32_t>0xFFFFFFFF - b else <uint32_t>0xFFFFFFFF


# A hit on slot number `at` was denied. The others are told what is asked of us though it is denied: shares follow what is asked for.
cdef inline void sync_refuse(counter_shard *shard, uint32_t at, uint32_t number, uint32_t cost) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    side.refused = <uint16_t>min(<uint64_t>side.refused + cost, <uint64_t>0xFFFF)
    sync_ask(shard, at, number)


# Slot number `at` was charged by one of our own hits.
cdef inline void sync_charge(counter_shard *shard, uint32_t at, uint32_t number, uint32_t cost) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    if side.number != number:
        sync_roll(side, shard.slots[at].meta >> SLOT_KIND_SHIFT, number)
    side.own[0] = sync_add(side.own[0], cost)
    side.unheard = sync_add(side.unheard, cost)
    side.unsent |= 1
    sync_mark_dirty(shard, at)
