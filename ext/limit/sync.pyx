from libc.stdint cimport UINT32_MAX
from libc.string cimport memset


cdef void sync_roll(counter_sync *side, uint32_t kind, uint32_t number) noexcept nogil:
    cdef int64_t ahead = <int32_t>(number - side.number)
    cdef uint32_t size = sync_size(kind), k
    if ahead <= 0 and -ahead < size:
        return
    if ahead < 0:
        ahead = size
    for k in range(size - 1, -1, -1):
        side.own[k] = side.own[k - ahead] if k >= ahead else 0
    if kind == KIND_BUCKET:
        side.own[SYNC_KNOWN + 1] = side.own[SYNC_KNOWN] if ahead == 1 else 0
        side.own[SYNC_KNOWN] = 0
    side.unsent = <uint16_t>((side.unsent << ahead if ahead < SYNC_OWN else 0) & ((1 << size) - 1)) | (side.unsent & SYNC_WOKEN)
    side.number = number


cdef inline uint16_t fresh_ratio(const counter_shard *shard, uint32_t at) noexcept nogil:
    """What is assumed of others before they were heard. In a second's window a burst that meets all nodes at once is over before they
    know; of a long one it takes little, and whoever talks to one node alone must not be denied for what nobody has seen."""
    cdef uint32_t window_ms = shard.windows[at]
    if window_ms <= SYNC_BRIEF_MS:
        return shard.fresh_ratio
    return <uint16_t>(<uint64_t>shard.fresh_ratio * SYNC_BRIEF_MS // window_ms)


cdef void sync_begin(counter_shard *shard, uint32_t at, uint32_t number, uint64_t seed, int64_t now_ms) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    memset(side, 0, sizeof(counter_sync))
    shard.incarnation += 1
    side.number = number
    side.incarnation = shard.incarnation
    side.unsent = <uint16_t>SYNC_WOKEN
    side.level = <uint16_t>now_ms
    side.ratio = fresh_ratio(shard, at)
    if shard.slots[at].meta >> SLOT_KIND_SHIFT == KIND_BUCKET:
        side.own[SYNC_KNOWN] = <uint32_t>seed if seed <= UINT32_MAX else UINT32_MAX   # most of it is in the store: not to be charged twice


cdef void sync_reset(counter_shard *shard, uint32_t at, uint32_t number, uint8_t flag, int64_t now_ms) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    cdef uint8_t flags = side.flags
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT
    sync_begin(shard, at, number, 0, now_ms)
    side.flags = (flags & SYNC_CLEAR) | flag
    side.again = SYNC_AGAIN
    side.unsent = <uint16_t>((1 << sync_size(kind)) - 1)
    sync_mark_dirty(shard, at)
