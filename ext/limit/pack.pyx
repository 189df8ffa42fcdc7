from libc.stdint cimport UINT16_MAX
from libc.stdlib cimport calloc, free, realloc

from ratelimitd._ext.limit.lease cimport is_leased, lease_pack, lease_record
from ratelimitd._ext.limit.shard cimport (
    KIND_BUCKET,
    KIND_FIXED,
    RL_GROUP,
    SLOT_KIND_SHIFT,
    counter_shard,
    counter_slot,
    counter_sync,
    mask_first,
    prefetch,
    spin_lock,
    spin_unlock,
)
from ratelimitd._ext.limit.sync cimport (
    SYNC_CLEAR,
    SYNC_DEMAND_MS,
    SYNC_DEMAND_PARTS,
    SYNC_GRACE_MS,
    SYNC_HEARD,
    SYNC_LEVEL_MS,
    SYNC_REPLACE,
    SYNC_SHORT_MS,
    SYNC_URGENT,
    SYNC_WATCH,
    SYNC_WOKEN,
    sync_fixed,
    sync_mark_clean,
    sync_parts,
    sync_shard,
    sync_size,
    sync_window,
)
from ratelimitd._ext.limit.table cimport table_get_shards, table_shards
from ratelimitd._ext.limit.window cimport window_clock


cdef enum:
    SLICE = 64            # dirty counters under one lock
    SMOOTH_MS = 32        # what is asked of us is a mean of about so long
    RECALL_BITS = 14      # spans that are over are read again when so many bits of the clock have run through: every 16 s
    SLICE_GROUPS = 2048   # groups of slots that are looked through under one lock


# Where now is among the spans of a window; records come in runs of one window.
cdef struct span_place:
    uint32_t parts
    uint64_t window_ms, number


cdef sync_pack *pack_new() noexcept nogil:
    return <sync_pack *>calloc(1, sizeof(sync_pack))


cdef void pack_free(sync_pack *pack) noexcept nogil:
    cdef uint32_t k
    if pack == NULL:
        return
    for k in range(pack.room):
        free(pack.groups[k].records)
    free(pack.groups)
    free(pack)


cdef pack_group *add_group(sync_pack *pack, uint32_t shard) noexcept nogil:
    cdef uint32_t room = 2 * pack.room + 64, k
    cdef pack_group *grown
    if pack.count == pack.room:
        grown = <pack_group *>realloc(pack.groups, room * sizeof(pack_group))
        if grown == NULL:
            return NULL
        pack.groups = grown
        for k in range(pack.room, room):
            grown[k].records = NULL
            grown[k].room = 0
        pack.room = room
    grown = &pack.groups[pack.count]
    grown.count = grown.size = 0
    grown.next = pack.first[shard]
    pack.first[shard] = <int32_t>pack.count
    pack.count += 1
    return grown


cdef pack_group *group_of(sync_pack *pack, uint32_t shard, uint64_t window_ms, int32_t parts, uint64_t number) noexcept nogil:
    cdef int32_t at = pack.first[shard]
    cdef pack_group *group
    while at >= 0:
        group = &pack.groups[at]
        if group.number == number and group.window_ms == window_ms and group.parts == parts:
            return group
        at = group.next
    group = add_group(pack, shard)
    if group != NULL:
        group.shard = <uint8_t>shard
        group.window_ms = window_ms
        group.parts = <int16_t>parts
        group.number = number
    return group


cdef void *add_record(pack_group *group, uint32_t size) noexcept nogil:
    cdef uint32_t room = 2 * group.room + 64 * size
    cdef char *grown
    if group == NULL:
        return NULL
    if group.size + size > group.room:
        grown = <char *>realloc(group.records, room)
        if grown == NULL:
            return NULL
        group.records = grown
        group.room = room
    group.count += 1
    group.size += size
    return group.records + group.size - size


cdef inline void find_place(span_place *place, uint64_t window_ms, uint32_t parts, int64_t now_ms) noexcept nogil:
    if place.window_ms != window_ms or place.parts != parts:
        place.window_ms = window_ms
        place.parts = parts
        place.number = <uint64_t>now_ms * parts // window_ms


cdef inline bint may_have_news(const counter_sync *side, uint32_t kind, uint32_t k, const span_place *place, uint64_t number, int64_t now_ms) noexcept nogil:
    """Can others have hit span `number`, own[k], since they were last heard? Now and then also: was one of them cut off then?"""
    cdef int64_t ended
    if sync_fixed(kind) and k:
        return False          # says nothing of now
    if not side.flags & SYNC_HEARD or side.again or (side.heard_ms ^ <uint32_t>now_ms) >> RECALL_BITS:
        return True
    ended = <int64_t>((number + 1) * place.window_ms // place.parts)
    return <uint32_t>(<uint32_t>now_ms - side.heard_ms) + <int64_t>SYNC_GRACE_MS > now_ms - ended


cdef bint measure(counter_sync *side, int64_t now_ms) noexcept nogil:
    """What is asked of us, smoothed; after a rest, what came since. 0: nothing was."""
    cdef bint woken = side.unsent & SYNC_WOKEN
    cdef uint32_t passed = <uint16_t>(<uint16_t>now_ms - side.level) if woken else <uint32_t>now_ms - side.heard_ms
    cdef uint64_t asked = <uint64_t>side.unheard + side.refused
    cdef int64_t seen
    if asked == 0:
        return False
    seen = <int64_t>min((asked * SYNC_LEVEL_MS + passed) // (passed + 1), <uint64_t>UINT16_MAX)
    side.level = <uint16_t>(seen if woken else side.level + (seen - side.level) * <int64_t>passed // <int64_t>(passed + SMOOTH_MS))
    side.refused = 0
    return True


cdef bint pack_demand(sync_pack *pack, const counter_shard *shard, uint32_t at, uint32_t store, int64_t now_ms) noexcept nogil:
    """In this slice of time and the one before: not all have told of this one yet. 0: out of memory."""
    cdef uint64_t slice = <uint64_t>now_ms // SYNC_DEMAND_MS
    cdef pack_record *record
    cdef uint32_t k
    for k in range(2):
        record = <pack_record *>add_record(
            group_of(pack, store, SYNC_DEMAND_MS * SYNC_DEMAND_PARTS, SYNC_DEMAND_PARTS, slice - 1 + k), sizeof(pack_record))
        if record == NULL:
            return False
        record.digest = shard.slots[at].digest
        record.incarnation = shard.sync[at].incarnation
        record.flags = 0
        record.own = shard.sync[at].level if k else 0
        pack.packed += 1
    return True


cdef bint pack_slot(sync_pack *pack, counter_shard *shard, uint32_t at, uint32_t store, span_place *place, int64_t now_ms) noexcept nogil:
    """0: out of memory, and nothing is said of it."""
    if is_leased(shard, at):
        return pack_leased(pack, shard, at, store, place, now_ms)
    cdef counter_sync *side = &shard.sync[at]
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT, size = sync_size(kind)
    cdef uint64_t number
    cdef bint asked
    cdef int64_t behind, k
    cdef pack_group *group
    cdef pack_record *record
    cdef pack_record *last = NULL
    find_place(place, sync_window(shard, at), sync_parts(kind), now_ms)
    behind = <int32_t>(<uint32_t>place.number - side.number)
    for k in range(<int64_t>size - 1, -1, -1):
        if behind + k >= size:
            continue              # no window reaches back so far
        number = place.number - behind - k
        if not (side.unsent >> k & 1 or may_have_news(side, kind, <uint32_t>k, place, number, now_ms)):
            continue
        group = group_of(pack, store, place.window_ms, place.parts, number)
        record = <pack_record *>add_record(group, sizeof(pack_record))
        if record == NULL:
            return False
        record.digest = shard.slots[at].digest
        record.incarnation = side.incarnation
        record.flags = side.flags & (SYNC_REPLACE | SYNC_CLEAR)
        record.flags >>= 1
        record.own = side.own[k]
        pack.packed += 1
        last = record
    if last != NULL:
        last.flags |= <uint16_t>RECORD_LAST
    side.flags &= <uint8_t>~SYNC_URGENT
    side.sent = <uint16_t>min(side.unheard, <uint32_t>UINT16_MAX)
    asked = measure(side, now_ms)
    side.unsent = 0
    if asked and side.flags >= SYNC_WATCH and sync_window(shard, at) <= SYNC_SHORT_MS:
        if not pack_demand(pack, shard, at, store, now_ms):
            return False
    if side.flags >= SYNC_WATCH:
        side.flags -= <uint8_t>SYNC_WATCH
    elif side.again == 0:
        sync_mark_clean(shard, at)
    return True


cdef bint pack_leased(sync_pack *pack, counter_shard *shard, uint32_t at, uint32_t store, span_place *place, int64_t now_ms) noexcept nogil:
    """0: out of memory."""
    cdef uint32_t kind = shard.slots[at].meta >> SLOT_KIND_SHIFT, k
    cdef lease_record records[3]
    cdef lease_record *record
    cdef lease_record *last = NULL
    cdef bint done
    find_place(place, shard.windows[at], 1, now_ms)
    cdef uint32_t wanted = lease_pack(shard, at, place.number, <uint32_t>place.window_ms, now_ms, records, &done)
    for k in range(3):
        if not wanted >> k & 1:
            continue
        record = <lease_record *>add_record(
            group_of(pack, store, place.window_ms, PACK_LEASE_FIXED if kind == KIND_FIXED else PACK_LEASE_SLIDING, place.number + k - 1),
            sizeof(lease_record))
        if record == NULL:
            return False
        record[0] = records[k]
        pack.packed += 1
        last = record
    if last != NULL:
        last.flags |= <uint16_t>RECORD_LAST
        shard.sync[at].flags &= <uint8_t>~SYNC_URGENT
    if done and shard.sync[at].again == 0:
        sync_mark_clean(shard, at)
    return True


cdef uint32_t find_dirty(const counter_shard *shard, uint32_t *group, uint32_t *slots) noexcept nogil:
    """Up to SLICE dirty slots, or a group's more, from `group` on, which moves on. Starts the misses of all of them."""
    cdef uint32_t end = min(shard.groups, group[0] + SLICE_GROUPS), mask, at, count = 0
    while group[0] < end and count <= SLICE - RL_GROUP:
        mask = shard.dirty[group[0]]
        while mask:
            at = group[0] * RL_GROUP + mask_first(mask)
            mask &= mask - 1
            prefetch(&shard.slots[at])
            prefetch(&shard.sync[at])
            slots[count] = at
            count += 1
        group[0] += 1
    return count


cdef void pack_shard(sync_pack *pack, counter_shard *shard, uint32_t limit, span_place *place, int64_t now_ms) noexcept nogil:
    cdef uint32_t slots[SLICE]
    cdef uint32_t group = 0, count, k, store
    while group < shard.groups and not pack.failed:
        spin_lock(&shard.lock)
        count = find_dirty(shard, &group, slots)
        for k in range(count):
            store = sync_shard(shard.slots[slots[k]].digest.lo)
            if not pack.wanted[store] or pack.counted[store] >= limit:
                continue
            if not pack_slot(pack, shard, slots[k], store, place, now_ms):
                pack.failed = 1
                break
            pack.counted[store] += 1
        spin_unlock(&shard.lock)


cdef inline bint any_wanted(const sync_pack *pack, uint32_t shard, uint32_t count) noexcept nogil:
    """Does table shard `shard` of `count` hold keys of a wanted store shard?"""
    cdef uint32_t first = shard * PACK_SHARDS // count, end = ((shard + 1) * PACK_SHARDS + count - 1) // count, k
    for k in range(first, end):
        if pack.wanted[k]:
            return True
    return False


cdef void pack_run(sync_pack *pack, counter_table *table, uint32_t limit, int64_t now_ms) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef span_place place
    cdef uint32_t k
    now_ms = window_clock(now_ms)
    place.window_ms = 0
    pack.count = 0
    pack.failed = 0
    for k in range(PACK_SHARDS):
        pack.first[k] = -1
        pack.counted[k] = 0
        if pack.wanted[k]:
            pack.packed_ms[k] = now_ms
    for k in range(shards.count):
        if any_wanted(pack, k, shards.count):
            pack_shard(pack, &shards.list[k], limit, &place, now_ms)


cdef uint64_t pack_dirty(counter_table *table) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef uint64_t count = 0
    cdef uint32_t k, group, mask
    for k in range(shards.count):
        spin_lock(&shards.list[k].lock)
        for group in range(shards.list[k].groups):
            mask = shards.list[k].dirty[group]
            while mask:
                count += 1
                mask &= mask - 1
        spin_unlock(&shards.list[k].lock)
    return count
