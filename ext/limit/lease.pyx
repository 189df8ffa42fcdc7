from libc.stdint cimport UINT32_MAX, int32_t

from ratelimitd._ext.limit.shard cimport KIND_FIXED
from ratelimitd._ext.limit.sync cimport SYNC_CLEAR, SYNC_RATIO, SYNC_REPLACE, sync_add, sync_mark_dirty, sync_roll


cdef enum:
    AHEAD_MS = 150        # of what is asked for, at the rate of late, is drawn in advance
    RESERVE_SHARE = 4     # of the limit all nodes together may hold for what may come, until it gets scarce
    SCARCE_SHARE = 4      # it is scarce when less than this part of it is not granted ...
    SCARCE_MS = 50        # ... and then less is drawn in advance: what one holds the others lack
    LOW_SHARE = 4         # more is asked for at once when so much of what is asked for in AHEAD_MS is left
    LONG_MS = 10000       # grants of windows as long as this may come an interval late
    IDLE_SHARE = 16       # an idle counter goes to the store so many times in a window ...
    IDLE_LEAST_MS = 100
    IDLE_MOST_MS = 60000
    IDLE_SPANS = 2        # ... and gives all back after so many
    EARLY_MS = 250        # before a span begins, what it may need is asked for


cdef inline uint32_t saturated(uint64_t value) noexcept nogil:
    return <uint32_t>value if value < UINT32_MAX else UINT32_MAX


cdef void lease_roll(counter_sync *side, uint32_t kind, uint32_t number) noexcept nogil:
    cdef uint32_t before = side.number
    if before == number:
        return
    sync_roll(side, kind, number)
    if side.number == before:
        return                    # it waits for the clock
    side.own[LEASE_HELD] = side.own[LEASE_NEXT] if side.number == before + 1 else 0
    side.own[LEASE_NEXT] = side.own[LEASE_OTHERS] = 0
    side.own[LEASE_STATE] &= ~<uint32_t>LEASE_DRY
    side.unsent |= 2              # the span before gives back what was not spent


cdef inline uint32_t ahead_of(const counter_sync *side, uint32_t ms) noexcept nogil:
    return saturated((<uint64_t>side.own[LEASE_RATE] * ms + SYNC_RATIO - 1) // SYNC_RATIO)


cdef bint lease_take(counter_shard *shard, uint32_t at, const window_rule *rule, uint32_t number, uint32_t cost, bint dry, bint *urgent) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT
    cdef bint covered
    lease_roll(side, kind, number)
    covered = <uint64_t>side.own[0] + cost <= side.own[LEASE_HELD]
    if dry:
        return covered
    side.own[LEASE_STATE] |= LEASED
    side.own[LEASE_LIMIT] = rule.limit
    side.own[LEASE_DEMAND] = sync_add(side.own[LEASE_DEMAND], cost)
    if covered and side.own[LEASE_HELD] - side.own[0] - cost > ahead_of(side, AHEAD_MS) // LOW_SHARE:
        return True
    sync_mark_dirty(shard, at)
    # Of a fixed window that is used up there is nothing to be had before its end, but what others give back.
    urgent[0] = not side.own[LEASE_STATE] & LEASE_DRY or (kind != KIND_FIXED and rule.window_ms < LONG_MS)
    return covered


cdef void measure(counter_sync *side, int64_t now_ms) noexcept nogil:
    """The rate at which hits are asked for: at once when it rises, slowly when it falls. heard_ms: when it was packed last."""
    cdef uint32_t passed = max(<uint32_t>1, <uint32_t>now_ms - side.heard_ms)
    cdef uint32_t rate = saturated((<uint64_t>side.own[LEASE_DEMAND] * SYNC_RATIO + passed - 1) // passed)
    side.own[LEASE_RATE] = max(rate, <uint32_t>(<uint64_t>side.own[LEASE_RATE] * 3 // 4))
    side.own[LEASE_DEMAND] = 0
    side.heard_ms = <uint32_t>now_ms


cdef inline void fill(const counter_shard *shard, uint32_t at, uint32_t held, uint32_t want, lease_record *out) noexcept nogil:
    cdef const counter_sync *side = &shard.sync[at]
    out.digest = shard.slots[at].digest
    out.incarnation = side.incarnation
    out.flags = (side.flags & (SYNC_REPLACE | SYNC_CLEAR)) >> 1
    out.held = held
    out.want = max(held, want)
    out.limit = side.own[LEASE_LIMIT]


cdef bint is_idle(const counter_slot *slot, uint32_t window_ms, int64_t now_ms) noexcept nogil:
    return now_ms - <int64_t>slot.last_s * 1000 > IDLE_SPANS * <int64_t>window_ms + 1000


cdef bint may_wait(const counter_sync *side, uint32_t window_ms, int64_t now_ms) noexcept nogil:
    """Nothing was asked for, and it was packed a short while ago."""
    cdef uint32_t pause = min(max(window_ms // IDLE_SHARE, <uint32_t>IDLE_LEAST_MS), <uint32_t>IDLE_MOST_MS)
    return side.own[LEASE_DEMAND] == 0 and side.unsent == 0 and side.again == 0 and <uint32_t>now_ms - side.heard_ms < pause


cdef uint32_t lease_pack(counter_shard *shard, uint32_t at, uint64_t number, uint32_t window_ms, int64_t now_ms, lease_record *out, bint *done) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT, limit = side.own[LEASE_LIMIT], reserve, want, sent = 2
    cdef uint64_t nodes = shard.fresh_ratio // SYNC_RATIO + 1
    cdef int64_t left = <int64_t>((number + 1) * window_ms) - now_ms
    cdef bint idle = is_idle(&shard.slots[at], window_ms, now_ms), scarce
    done[0] = idle
    if may_wait(side, window_ms, now_ms) and not idle and left > EARLY_MS and side.number == <uint32_t>number:
        return 0
    lease_roll(side, kind, <uint32_t>number)
    measure(side, now_ms)
    if side.unsent & 2 and kind != KIND_FIXED:
        fill(shard, at, side.own[1], side.own[1], &out[0])
        sent |= 1
    reserve = 0 if idle or limit == 0 else max(<uint32_t>1, <uint32_t>(limit // (RESERVE_SHARE * nodes)))
    scarce = <uint64_t>side.own[LEASE_OTHERS] + side.own[LEASE_HELD] > limit - limit // SCARCE_SHARE
    want = 0 if idle else ahead_of(side, SCARCE_MS) if scarce else max(ahead_of(side, AHEAD_MS), reserve)
    want = min(limit, sync_add(side.own[0], want))
    if (scarce or idle) and side.own[LEASE_HELD] > want:
        side.own[LEASE_HELD] = max(side.own[0], want)
    fill(shard, at, side.own[LEASE_HELD], want, &out[1])
    # What a sliding window grants of the next span, it has to leave in this one.
    if left <= EARLY_MS and not idle and (kind == KIND_FIXED or not (scarce or side.own[LEASE_STATE] & LEASE_DRY)):
        fill(shard, at, side.own[LEASE_NEXT], min(limit, max(reserve, ahead_of(side, AHEAD_MS))), &out[2])
        sent |= 4
    side.unsent = 0
    return sent


cdef void lease_merge(counter_shard *shard, uint32_t at, const lease_record *record, uint32_t number, uint32_t granted, uint32_t others) noexcept nogil:
    cdef counter_sync *side = &shard.sync[at]
    cdef int32_t age = <int32_t>(side.number - number)
    granted = min(max(granted, record.held), record.want)
    if age == -1:
        side.own[LEASE_NEXT] = granted
        return
    if age != 0:
        return
    side.own[LEASE_HELD] = max(side.own[LEASE_HELD], granted)
    side.own[LEASE_OTHERS] = others
    side.own[LEASE_STATE] &= ~<uint32_t>LEASE_DRY
    if granted < record.want:
        side.own[LEASE_STATE] |= LEASE_DRY
