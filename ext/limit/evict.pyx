from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.limit.lease cimport is_leased
from ratelimitd._ext.limit.shard cimport (
    RL_GROUP,
    SLOT_NEAR,
    SLOT_RESET,
    TAG_EMPTY,
    counter_slot,
    digest_home,
    group_after,
    shard_erase,
    slot_rule,
)
from ratelimitd._ext.limit.sketch cimport sketch_estimate, sketch_fold
from ratelimitd._ext.limit.window cimport window_expires, window_rule, window_used


cdef enum:
    SWEEP = 4             # slots the hand passes at every insert: expired counters go even when nobody needs their room
    CANDIDATES = 24       # counters that are compared before one is dropped
    LAST_WORDS_MS = 1000  # for so long an expired counter may still tell the store its last hits
    GROUPS = 4            # ... as far as these many groups hold so many


# A counter that might be dropped.
cdef struct victim:
    bint found
    uint32_t at
    uint32_t last_s
    uint64_t used


cdef inline bint stands_before_sketch(const counter_shard *shard, const counter_slot *slot, int64_t now_ms) noexcept nogil:
    """Was it reset by someone, and would the hits of before come back without it?"""
    return slot.meta & SLOT_RESET and sketch_estimate(&shard.sketch, &slot.digest, now_ms) > 0


cdef inline bint is_dirty(const counter_shard *shard, uint32_t at) noexcept nogil:
    return shard.sync != NULL and shard.dirty[at // RL_GROUP] >> (at & (RL_GROUP - 1)) & 1


cdef inline bint drop_expired(counter_shard *shard, uint32_t at, int64_t now_ms) noexcept nogil:
    cdef window_rule rule
    cdef bint dirty = is_dirty(shard, at)
    if stands_before_sketch(shard, &shard.slots[at], now_ms):
        return False
    if dirty and shard.sync[at].again:                 # it was reset, and the store still has to hear that
        return False
    if dirty and is_leased(shard, at) and now_ms < <int64_t>shard.slots[at].last_s * 1000 + shard.windows[at] + LAST_WORDS_MS:
        return False                                   # it waits for what it asked for
    slot_rule(shard, at, &rule)
    if window_expires(&rule, &shard.slots[at].state, now_ms) > now_ms - (LAST_WORDS_MS if dirty else 0):
        return False
    shard_erase(shard, at)
    shard.expired += 1
    return True


cdef inline void sweep(counter_shard *shard, int64_t now_ms) noexcept nogil:
    cdef int step
    for step in range(SWEEP):
        if shard.tags[shard.hand] != TAG_EMPTY:
            drop_expired(shard, shard.hand, now_ms)
        shard.hand = shard.hand + 1 if shard.hand + 1 < shard.groups * RL_GROUP else 0


cdef inline bint is_kept(const counter_shard *shard, uint32_t at, int64_t now_ms) noexcept nogil:
    return shard.slots[at].meta & SLOT_NEAR or is_dirty(shard, at) or stands_before_sketch(shard, &shard.slots[at], now_ms)


cdef inline void compare(const counter_shard *shard, uint32_t at, int64_t now_ms, bint force, victim *best) noexcept nogil:
    """Least recently used; of the same second, the least used."""
    cdef const counter_slot *slot = &shard.slots[at]
    cdef window_rule rule
    cdef uint64_t used
    if (best.found and slot.last_s > best.last_s) or (not force and is_kept(shard, at, now_ms)):
        return
    slot_rule(shard, at, &rule)
    used = window_used(&rule, &slot.state, now_ms)
    if best.found and slot.last_s == best.last_s and used >= best.used:
        return
    best.found = True
    best.at = at
    best.last_s = slot.last_s
    best.used = used


cdef inline void drop_live(counter_shard *shard, const victim *chosen, int64_t now_ms) noexcept nogil:
    cdef const counter_slot *slot = &shard.slots[chosen.at]
    cdef window_rule rule
    slot_rule(shard, chosen.at, &rule)
    sketch_fold(&shard.sketch, &slot.digest, chosen.used, window_expires(&rule, &slot.state, now_ms), now_ms)
    shard_erase(shard, chosen.at)
    shard.evicted += 1


cdef bint drop_one(counter_shard *shard, const key_digest *digest, int64_t now_ms, bint force) noexcept nogil:
    """An expired counter near the key's home, else the best of the live ones. By force it looks on until it found one."""
    cdef uint32_t group = digest_home(shard, digest), groups, at, seen = 0
    cdef victim best
    best.found = False
    for groups in range(shard.groups):
        if groups >= GROUPS and (best.found or not force):
            break
        for at in range(group * RL_GROUP, (group + 1) * RL_GROUP):
            if shard.tags[at] == TAG_EMPTY:
                continue
            if drop_expired(shard, at, now_ms):
                return True
            compare(shard, at, now_ms, force, &best)
            seen += 1
        if seen >= CANDIDATES:
            break
        group = group_after(shard, group)
    if not best.found:
        return False
    drop_live(shard, &best, now_ms)
    return True


cdef bint shard_make_room(counter_shard *shard, const key_digest *digest, int64_t now_ms) noexcept nogil:
    sweep(shard, now_ms)
    return shard.keys < shard.max_keys or drop_one(shard, digest, now_ms, False)


cdef void shard_force_room(counter_shard *shard, const key_digest *digest, int64_t now_ms) noexcept nogil:
    if shard.keys >= shard.max_keys:
        drop_one(shard, digest, now_ms, True)
