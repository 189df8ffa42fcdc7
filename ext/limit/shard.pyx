from libc.stdint cimport uint16_t

from ratelimitd._ext.limit.window cimport WINDOW_BUCKET, WINDOW_FIXED, WINDOW_SLIDING


cdef counter_slot *shard_insert(counter_shard *shard, const key_digest *digest, const window_rule *rule) noexcept nogil:
    cdef uint32_t group = digest_home(shard, digest), at
    cdef uint32_t mask = group_match(shard.tags + group * RL_GROUP, TAG_EMPTY)
    while not mask:
        group = group_after(shard, group)
        mask = group_match(shard.tags + group * RL_GROUP, TAG_EMPTY)
    at = group * RL_GROUP + mask_first_from(mask, digest_place(digest))
    shard.tags[at] = digest_tag(digest)
    shard.windows[at] = rule.window_ms
    shard.slots[at].digest = digest[0]
    shard.keys += 1
    return &shard.slots[at]


cdef inline uint32_t distance(const counter_shard *shard, uint32_t start, uint32_t end) noexcept nogil:
    return end - start if end >= start else end + shard.groups - start


cdef inline int64_t find_follower(const counter_shard *shard, uint32_t hole) noexcept nogil:
    """A slot behind the full group `hole` whose key was turned away there, or -1."""
    cdef uint32_t group = hole, mask, at, home
    while True:
        group = group_after(shard, group)
        if group == hole:
            return -1
        mask = group_match(shard.tags + group * RL_GROUP, TAG_EMPTY)
        for at in range(group * RL_GROUP, (group + 1) * RL_GROUP):
            if shard.tags[at] == TAG_EMPTY:
                continue
            home = digest_home(shard, &shard.slots[at].digest)
            if distance(shard, home, group) >= distance(shard, hole, group):
                return at
        if mask:
            return -1


cdef inline void move_sync(counter_shard *shard, uint32_t source, uint32_t target) noexcept nogil:
    cdef uint16_t bit = shard.dirty[source // RL_GROUP] >> (source & (RL_GROUP - 1)) & 1
    shard.sync[target] = shard.sync[source]
    shard.dirty[target // RL_GROUP] &= <uint16_t>~(1 << (target & (RL_GROUP - 1)))
    shard.dirty[target // RL_GROUP] |= <uint16_t>(bit << (target & (RL_GROUP - 1)))


cdef void shard_erase(counter_shard *shard, uint32_t at) noexcept nogil:
    cdef int64_t follower
    shard.keys -= 1
    while not group_match(shard.tags + (at // RL_GROUP) * RL_GROUP, TAG_EMPTY):
        follower = find_follower(shard, at // RL_GROUP)
        if follower < 0:
            break
        shard.tags[at] = shard.tags[follower]
        shard.windows[at] = shard.windows[follower]
        shard.slots[at] = shard.slots[follower]
        if shard.sync != NULL:
            move_sync(shard, <uint32_t>follower, at)
        at = <uint32_t>follower
    shard.tags[at] = TAG_EMPTY
    if shard.sync != NULL:
        shard.dirty[at // RL_GROUP] &= <uint16_t>~(1 << (at & (RL_GROUP - 1)))


cdef void slot_rule(const counter_shard *shard, uint32_t at, window_rule *out) noexcept nogil:
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT
    out.limit = 0
    out.window_ms = shard.windows[at]
    out.buckets = 1
    if kind == KIND_FIXED or kind == KIND_LONG:
        out.algorithm = WINDOW_FIXED
        if kind == KIND_LONG:
            out.buckets = WINDOW_LONG
    elif kind == KIND_BUCKET:
        out.algorithm = WINDOW_BUCKET
    else:
        out.algorithm = WINDOW_SLIDING
        out.buckets = <uint8_t>kind
