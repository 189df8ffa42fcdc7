from libc.stdint cimport INT16_MAX, UINT16_MAX, uint16_t

from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.lease cimport LEASE_HELD, is_leased, lease_merge, lease_record
from ratelimitd._ext.limit.pack cimport RECORD_LAST, pack_record
from ratelimitd._ext.limit.shard cimport (
    KIND_BUCKET,
    RL_GROUP,
    SLOT_KIND_SHIFT,
    TAG_EMPTY,
    counter_shard,
    counter_slot,
    counter_sync,
    digest_home,
    digest_place,
    prefetch,
    shard_find,
    spin_lock,
    spin_unlock,
)
from ratelimitd._ext.limit.sync cimport (
    SYNC_CLEAR,
    SYNC_DEMAND_PARTS,
    SYNC_FORESIGHT_MS,
    SYNC_HEARD,
    SYNC_KNOWN,
    SYNC_RATIO,
    SYNC_REPLACE,
    sync_add,
    sync_fixed,
    sync_mark_dirty,
    sync_parts,
    sync_shard,
    sync_size,
    sync_window,
)
from ratelimitd._ext.limit.table cimport table_get_shards, table_shards
from ratelimitd._ext.limit.window cimport WINDOW_BUCKET, window_charge, window_clock, window_rule, window_used


cdef enum:
    SLICE = 32            # records under one lock
    SLICE_GROUPS = 16     # groups of slots under one lock, when all are looked at
    SAFE_RATIO = SYNC_RATIO + SYNC_RATIO // 8    # others are taken to do an eighth more than was heard
    OWED_MS = 128         # what others do not tell of is forgotten in about so long
    FEW = 16              # part of a span's hits that a flush has to see to be worth half the mean
    STEADY_MS = 1000      # heard of less often, others are not charged beyond a full bucket


cdef inline const pack_record *record_at(const merge_group *group, uint32_t at) noexcept nogil:
    """Both kinds of records begin alike."""
    cdef size_t size = sizeof(lease_record) if group.parts < 0 else sizeof(pack_record)
    return <const pack_record *>(group.records + at * size)


cdef inline counter_shard *shard_of(const table_shards *shards, const key_digest *digest) noexcept nogil:
    return &shards.list[digest.lo >> 1 >> shards.shift]


cdef inline void start_misses(const counter_shard *shard, const key_digest *digest) noexcept nogil:
    cdef uint32_t home = digest_home(shard, digest) * RL_GROUP
    prefetch(shard.tags + home)
    prefetch(&shard.slots[home + digest_place(digest)])
    prefetch(&shard.sync[home + digest_place(digest)])


cdef inline counter_slot *find_packed(const counter_shard *shard, const pack_record *record) noexcept nogil:
    """The counter that was packed, or NULL: it was dropped, or is another that came after it."""
    cdef counter_slot *slot = shard_find(shard, &record.digest)
    if slot != NULL and shard.sync[slot - shard.slots].incarnation != record.incarnation:
        return NULL
    return slot


cdef inline uint32_t merge_ring(counter_slot *slot, const counter_sync *side, uint32_t kind, uint32_t age, uint32_t number, uint32_t others) noexcept nogil:
    """Others' hits of a span join ours in its bucket. Returns how many were news."""
    cdef uint32_t back = slot.state.words[0] - number    # how many buckets ago, as the counter has it
    cdef uint32_t known, total = sync_add(side.own[age], others)
    if back >= (1 if sync_fixed(kind) else kind + 1):
        return 0
    known = slot.state.words[1 + back]
    if total > known or side.again:
        slot.state.words[1 + back] = total
    return total - known if total > known else 0


cdef uint32_t merge_bucket(
    counter_slot *slot, counter_sync *side, uint32_t age, const merge_group *group, uint32_t others, int64_t now_ms
) noexcept nogil:
    """A token bucket is charged now with what is news, but a counter that hears of others for the first time not with what has drained
    since their span ended, whenever they hit in it. Returns how many were news."""
    cdef uint32_t known = side.own[SYNC_KNOWN + age], news, limit = slot.state.words[4]
    cdef uint64_t used, drained, charge
    cdef int64_t ended = <int64_t>((group.number + 1) * group.window_ms)
    cdef window_rule rule
    side.own[SYNC_KNOWN + age] = others if others > known or side.again else known
    if others <= known or side.again:
        return 0
    news = others - known
    charge = news
    rule.limit = limit
    rule.window_ms = <uint32_t>group.window_ms
    rule.algorithm = WINDOW_BUCKET
    rule.buckets = 1
    if not side.flags & SYNC_HEARD and now_ms > ended:
        drained = <uint64_t>min(now_ms - ended, <int64_t>group.window_ms) * limit // group.window_ms
        charge = min(charge, <uint64_t>limit)
        charge = charge - drained if charge > drained else 0
    if not side.flags & SYNC_HEARD or <uint32_t>now_ms - side.heard_ms > <uint32_t>STEADY_MS:
        used = window_used(&rule, &slot.state, now_ms)
        charge = min(charge, limit - used if used < limit else 0)
    window_charge(&rule, &slot.state, now_ms, <uint32_t>charge)
    return news


cdef inline uint16_t mix(uint16_t mean, uint32_t news, uint32_t per, uint32_t weight, bint last) noexcept nogil:
    """Moves a mean towards what this flush saw, by 1 / weight. Its last record moves all: those before it are blown up for that."""
    cdef int64_t seen = <int64_t>((<uint64_t>news * SYNC_RATIO + per // 2) // per), out
    out = mean + (seen - mean) // <int64_t>weight if last else mean + seen // <int64_t>(weight - 1)
    return <uint16_t>max(0, min(out, <int64_t>UINT16_MAX))


cdef inline void learn(counter_sync *side, uint32_t news, uint64_t total, bint last, int64_t packed_ms) noexcept nogil:
    """How much others do while we do one. news: of one record; total: all hits of its span. When hardly any were admitted, what little
    there was says less of what comes when there is room again."""
    cdef bint few = (<uint64_t>side.sent + news) * FEW < total
    if side.flags & SYNC_HEARD and side.sent and <uint32_t>packed_ms - side.heard_ms <= <uint32_t>SYNC_FORESIGHT_MS:
        side.ratio = mix(side.ratio, news, side.sent, 4 if few else 2, last)


cdef inline bint merge_demand(counter_shard *shard, const pack_record *record, uint32_t others) noexcept nogil:
    """What is asked of others, as they said, against what we said: every node divides by the same numbers."""
    cdef counter_slot *slot = find_packed(shard, record)
    if slot == NULL:
        return False
    if others:
        shard.sync[slot - shard.slots].ratio = <uint16_t>min(
            (<uint64_t>others * SAFE_RATIO + record.own - 1) // max(record.own, <uint32_t>1), <uint64_t>UINT16_MAX)
    return True


cdef inline void hear(counter_sync *side, int64_t packed_ms) noexcept nogil:
    """All that was packed of a counter is merged. While we did what we told of, others did as much, by the ratio, and have not told of it
    yet; nor of what they owe from before, if one flushes late, but that is forgotten in time."""
    cdef int64_t owed = side.owed, least = <int64_t>side.sent * side.ratio // SYNC_RATIO
    cdef uint32_t passed = min(<uint32_t>packed_ms - side.heard_ms, <uint32_t>OWED_MS)
    if owed > 0:
        owed -= (owed * passed + OWED_MS - 1) // OWED_MS
    owed += <int64_t>side.sent * side.ratio // SAFE_RATIO
    side.owed = <int16_t>min(max(owed, least), <int64_t>INT16_MAX)
    side.heard_ms = <uint32_t>packed_ms
    side.unheard -= min(<uint32_t>side.sent, side.unheard)
    side.sent = 0
    side.flags = (side.flags | SYNC_HEARD) & ~<uint8_t>(SYNC_REPLACE | SYNC_CLEAR)
    if side.again:
        side.again -= 1


cdef bint merge_leased(
    counter_shard *shard, const merge_group *group, const lease_record *record, uint32_t granted, uint32_t others
) noexcept nogil:
    cdef counter_slot *slot = find_packed(shard, <const pack_record *>record)
    cdef counter_sync *side
    cdef uint32_t at, age
    if slot == NULL:
        return False
    at = <uint32_t>(slot - shard.slots)
    if not is_leased(shard, at) or shard.windows[at] != group.window_ms:
        return False
    side = &shard.sync[at]
    lease_merge(shard, at, record, <uint32_t>group.number, granted, others)
    age = side.number - <uint32_t>group.number
    if age < 2:
        merge_ring(slot, side, slot.meta >> SLOT_KIND_SHIFT, age, <uint32_t>group.number, others)
    if record.flags & RECORD_LAST:
        side.flags = (side.flags | SYNC_HEARD) & ~<uint8_t>(SYNC_REPLACE | SYNC_CLEAR)
        side.again -= side.again > 0
    return True


cdef inline bint merge_record(
    counter_shard *shard, const merge_group *group, const pack_record *record, uint32_t others, int64_t packed_ms, int64_t now_ms
) noexcept nogil:
    cdef counter_slot *slot = find_packed(shard, record)
    cdef counter_sync *side
    cdef uint32_t at, kind, age, news = 0
    if slot == NULL:
        return False
    at = <uint32_t>(slot - shard.slots)
    side = &shard.sync[at]
    kind = slot.meta >> SLOT_KIND_SHIFT
    if sync_parts(kind) != group.parts or sync_window(shard, at) != group.window_ms:
        return False
    age = side.number - <uint32_t>group.number
    if age < sync_size(kind):
        if kind == KIND_BUCKET:
            news = merge_bucket(slot, side, age, group, others, now_ms)
        else:
            news = merge_ring(slot, side, kind, age, <uint32_t>group.number, others)
    learn(side, news, <uint64_t>side.own[age] + others if age < sync_size(kind) else 0, record.flags & RECORD_LAST, packed_ms)
    side.owed = <int16_t>max(<int64_t>side.owed - news, -<int64_t>INT16_MAX)
    if record.flags & RECORD_LAST:
        hear(side, packed_ms)
    return True


cdef inline uint32_t run_length(const table_shards *shards, const merge_group *group, uint32_t start) noexcept nogil:
    """How many records from `start` on, SLICE at most, are of one table shard."""
    cdef counter_shard *shard = shard_of(shards, &record_at(group, start).digest)
    cdef uint32_t end = min(group.count, start + SLICE), at = start
    while at < end and shard_of(shards, &record_at(group, at).digest) == shard:
        start_misses(shard, &record_at(group, at).digest)
        at += 1
    return at - start


cdef uint64_t merge_run(counter_table *table, const merge_group *group, int64_t packed_ms, int64_t now_ms) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef counter_shard *shard
    cdef uint32_t start = 0, length, at
    cdef uint64_t merged = 0
    now_ms = window_clock(now_ms)
    while start < group.count:
        length = run_length(&shards, group, start)
        shard = shard_of(&shards, &record_at(group, start).digest)
        spin_lock(&shard.lock)
        for at in range(start, start + length):
            if group.parts < 0:
                merged += merge_leased(
                    shard, group, <const lease_record *>record_at(group, at), group.others[2 * at], group.others[2 * at + 1])
            elif group.parts == SYNC_DEMAND_PARTS:
                merged += merge_demand(shard, record_at(group, at), max(group.others[at], group.before[at] if group.before != NULL else 0))
            else:
                merged += merge_record(shard, group, record_at(group, at), group.others[at], packed_ms, now_ms)
        spin_unlock(&shard.lock)
        start += length
    return merged


cdef void merge_unsent(counter_table *table, const merge_group *group) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef counter_shard *shard
    cdef counter_slot *slot
    cdef counter_sync *side
    cdef uint32_t at, age
    if group.parts == SYNC_DEMAND_PARTS:
        return                    # it goes with the next hits
    for at in range(group.count):
        shard = shard_of(&shards, &record_at(group, at).digest)
        spin_lock(&shard.lock)
        slot = find_packed(shard, record_at(group, at))
        if slot != NULL:
            side = &shard.sync[slot - shard.slots]
            age = side.number - <uint32_t>group.number
            if age < sync_size(slot.meta >> SLOT_KIND_SHIFT):
                side.unsent |= <uint16_t>(1 << age)
                side.sent = 0
                sync_mark_dirty(shard, <uint32_t>(slot - shard.slots))
        spin_unlock(&shard.lock)


cdef inline void resync_slot(counter_shard *shard, uint32_t at) noexcept nogil:
    """Spans that are over by now are left out when it is packed."""
    cdef counter_sync *side = &shard.sync[at]
    cdef uint32_t k
    if is_leased(shard, at) and side.own[LEASE_HELD]:
        side.unsent |= 1
        sync_mark_dirty(shard, at)
        return
    for k in range(sync_size(shard.slots[at].meta >> SLOT_KIND_SHIFT)):
        if side.own[k]:
            side.unsent |= <uint16_t>(1 << k)
            sync_mark_dirty(shard, at)


cdef void resync_shard(counter_shard *shard, const uint8_t *wanted) noexcept nogil:
    cdef uint32_t group = 0, end, at
    while group < shard.groups:
        end = min(shard.groups, group + SLICE_GROUPS)
        spin_lock(&shard.lock)
        for at in range(group * RL_GROUP, end * RL_GROUP):
            if shard.tags[at] != TAG_EMPTY and wanted[sync_shard(shard.slots[at].digest.lo)]:
                resync_slot(shard, at)
        spin_unlock(&shard.lock)
        group = end


cdef void merge_resync(counter_table *table, const uint8_t *wanted) noexcept nogil:
    cdef table_shards shards = table_get_shards(table)
    cdef uint32_t k
    for k in range(shards.count):
        resync_shard(&shards.list[k], wanted)
