# One shard of the counter table: groups of 16 slots found by their tags (Abseil's SwissTable), probed group after group from the
# key's home. A key is never behind a group that has an empty slot; erasing moves later keys up to keep that true (Knuth, TAOCP 3,
# algorithm 6.4R, by groups), so there are no tombstones. All functions want the shard's lock held.
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.sketch cimport counter_sketch
from ratelimitd._ext.limit.window cimport WINDOW_FIXED, WINDOW_LONG, WINDOW_SLIDING, window_rule, window_state


cdef extern from "limit/group.h" namespace "rl" nogil:
    enum:
        RL_GROUP
    uint32_t group_match(const uint8_t *tags, uint8_t tag) noexcept
    uint32_t mask_first(uint32_t mask) noexcept
    uint32_t mask_first_from(uint32_t mask, uint32_t start) noexcept
    void prefetch(const void *line) noexcept
    bint is_cache_line[T](const T *struct) noexcept


cdef extern from "limit/spin.h" nogil:
    ctypedef struct rl_spin:
        pass
    void spin_lock "rl::spin_lock"(rl_spin *lock) noexcept
    void spin_unlock "rl::spin_unlock"(rl_spin *lock) noexcept


cdef enum:
    TAG_EMPTY = 0
    SLOT_METRIC = (1 << 26) - 1       # the limit's metric slot; what is above fits in no policy
    SLOT_RESET = 1 << 26              # reset while the sketch knew more of the key: not to be dropped as long as it does
    SLOT_NEAR = 1 << 27               # used at least 80 % of its limit when it was last charged: not to be dropped
    SLOT_KIND_SHIFT = 28              # algorithm and buckets, see slot_kind; they never change
    SLOT_KIND = 15 << 28
    KIND_FIXED = 0                    # sliding windows are their number of buckets, 1..8
    KIND_BUCKET = 9
    KIND_LONG = 10                    # fixed, of eight times windows[]


# One cache line, so that a hit costs one miss.
cdef struct counter_slot:
    key_digest digest
    window_state state
    uint32_t meta
    uint32_t last_s       # seconds since the epoch of the last hit


# One cache line beside a slot: see sync.pxd.
cdef struct counter_sync:
    uint32_t number       # of the span of own[0]: the low half
    uint32_t own[9]       # our hits of that span and of those before it
    uint32_t unheard      # our hits since the flush that others were last heard by
    uint32_t heard_ms     # when that flush was packed: the low half
    uint16_t sent         # as many of `unheard` went into the flush that is under way
    uint16_t refused      # hits that were denied since the last pack
    uint16_t level        # our hits in 256 ms of late, those that were denied too. SYNC_WOKEN: when they began, the low half
    uint16_t ratio        # others' hits for 64 of ours
    int16_t owed          # hits of others that went with ours that were told, but were not told by them yet. Below 0 while it is merged
    uint8_t flags         # see sync.pxd
    uint8_t again         # flushes that have to read, whether or not there are hits
    uint16_t incarnation  # sets our parts in the store apart: an evicted key that returns counts anew
    uint16_t unsent       # bit k: own[k] is not in the store; or SYNC_WOKEN


cdef struct counter_shard:
    rl_spin lock
    counter_slot *slots   # groups * RL_GROUP
    uint8_t *tags         # one to a slot; TAG_EMPTY or a byte of the digest
    uint32_t *windows     # window_ms of every slot: with the kind, all that is left of its rule. Read when a slot may be dropped
    counter_sketch sketch
    counter_sync *sync    # one to a slot; NULL: the table does not sync
    uint16_t *dirty       # one to a group, one bit to a slot: it has something to say to the store, or to ask
    uint16_t incarnation  # of the slot that was made last
    uint16_t fresh_ratio  # counter_sync.ratio of a new slot
    uint32_t groups
    uint32_t hand         # next slot that the sweep looks at
    uint32_t keys
    uint32_t max_keys
    uint64_t inserted, evicted, expired, sketched


cdef inline uint8_t digest_tag(const key_digest *digest) noexcept nogil:
    cdef uint8_t tag = <uint8_t>digest.lo
    return tag if tag != TAG_EMPTY else 1


cdef inline uint32_t digest_home(const counter_shard *shard, const key_digest *digest) noexcept nogil:
    return <uint32_t>((digest.hi >> 32) * shard.groups >> 32)


# Where in its home group a key likes to be: its line can be fetched before the tags are there.
cdef inline uint32_t digest_place(const key_digest *digest) noexcept nogil:
    return <uint32_t>digest.hi & (RL_GROUP - 1)


cdef inline uint32_t group_after(const counter_shard *shard, uint32_t group) noexcept nogil:
    return group + 1 if group + 1 < shard.groups else 0


# The key's slot, or NULL.
cdef inline counter_slot *shard_find(const counter_shard *shard, const key_digest *digest) noexcept nogil:
    cdef uint32_t group = digest_home(shard, digest), mask
    cdef uint8_t tag = digest_tag(digest)
    cdef const uint8_t *tags
    cdef counter_slot *slot
    while True:
        tags = shard.tags + group * RL_GROUP
        mask = group_match(tags, tag)
        while mask:
            slot = &shard.slots[group * RL_GROUP + mask_first(mask)]
            if slot.digest.lo == digest.lo and slot.digest.hi == digest.hi:
                return slot
            mask &= mask - 1
        if group_match(tags, TAG_EMPTY):
            return NULL
        group = group_after(shard, group)


# A slot for a key that has none. Wants keys < max_keys. Its digest and window are set, the rest is the caller's to set.
cdef counter_slot *shard_insert(counter_shard *shard, const key_digest *digest, const window_rule *rule) noexcept nogil

# Empties slot number `at`. May move other keys.
cdef void shard_erase(counter_shard *shard, uint32_t at) noexcept nogil

# algorithm and buckets in four bits, ready for meta.
cdef inline uint32_t slot_kind(const window_rule *rule) noexcept nogil:
    if rule.algorithm == WINDOW_SLIDING:
        return <uint32_t>rule.buckets << SLOT_KIND_SHIFT
    if rule.algorithm == WINDOW_FIXED:
        return <uint32_t>(KIND_LONG if rule.buckets == WINDOW_LONG else KIND_FIXED) << SLOT_KIND_SHIFT
    return <uint32_t>KIND_BUCKET << SLOT_KIND_SHIFT

# What is known of the rule that slot number `at` was charged under: all but the limit.
cdef void slot_rule(const counter_shard *shard, uint32_t at, window_rule *out) noexcept nogil
