from libc.stdint cimport UINT16_MAX, UINT32_MAX, uint8_t, uint16_t
from libc.string cimport memset

from ratelimitd._ext.core cimport rl_counted, rl_set
from ratelimitd._ext.limit.evict cimport shard_force_room, shard_make_room
from ratelimitd._ext.limit.lease cimport LEASE_STATE, lease_fits, lease_take
from ratelimitd._ext.limit.pair cimport (
    pair_add,
    pair_find_place,
    pair_fits,
    pair_place,
    pair_read,
    pair_view,
    pair_view_over,
    pair_write,
    window_pair,
)
from ratelimitd._ext.limit.shard cimport (
    RL_GROUP,
    SLOT_KIND,
    SLOT_METRIC,
    SLOT_NEAR,
    SLOT_RESET,
    counter_shard,
    counter_slot,
    digest_home,
    digest_place,
    digest_tag,
    group_match,
    is_cache_line,
    mask_first,
    prefetch,
    shard_erase,
    counter_sync,
    shard_find,
    shard_insert,
    slot_kind,
    slot_rule,
    spin_lock,
    spin_unlock,
)
from ratelimitd._ext.limit.sketch cimport SKETCH_ROWS, sketch_cell, sketch_estimate, sketch_fold
from ratelimitd._ext.limit.sync cimport (
    SYNC_CLEAR,
    SYNC_FEW,
    SYNC_FORESIGHT_MS,
    SYNC_HEARD,
    SYNC_RATIO,
    SYNC_REPLACE,
    SYNC_SHORT_MS,
    SYNC_URGENT,
    SYNC_WATCHED,
    sync_begin,
    sync_charge,
    sync_refuse,
    sync_wake,
    sync_reset,
    sync_shard,
    sync_unknown,
)
from ratelimitd._ext.limit.window cimport (
    WINDOW_BUCKET,
    WINDOW_SLIDING,
    window_charge,
    window_clear,
    window_clock,
    window_expires,
    window_init,
    window_number,
    window_peek,
    window_state,
    window_take,
)


cdef extern from "limit/memory.h" namespace "rl" nogil:
    void *memory_reserve(size_t bytes) noexcept
    bint memory_commit(void *start, size_t bytes) noexcept
    void memory_release(void *start, size_t bytes) noexcept


cdef extern from "limit/urgent.h" namespace "rl" nogil:
    ctypedef struct rl_shard_set:
        pass
    bint shard_set_has(const rl_shard_set *set, uint32_t shard) noexcept
    void shard_set_add(rl_shard_set *set, uint32_t shard) noexcept
    void shard_set_put(rl_shard_set *set, uint32_t word, uint64_t bits) noexcept
    uint64_t shard_set_take(rl_shard_set *set, uint32_t word) noexcept
    int bell_new() noexcept
    void bell_free(int bell) noexcept
    void bell_ring(int bell) noexcept
    void bell_quiet(int bell) noexcept


cdef enum:
    LINE = 64
    GROUP_KEYS = 14       # of 16 slots: load 7/8
    SHARD_KEYS = 2048     # keys to a shard at least, so that shards fill evenly; smaller tables have one shard
    MAX_SHARD_BITS = 10
    MAX_KEY_BITS = 36
    SKETCH_KEYS = 8       # keys to a cell of each sketch row
    SKETCH_LEAST = 64
    BUSY_SHARE = 4        # below a fourth of a limit nothing is urgent
    URGENT_SHARE = 8      # what is unknown may be an eighth of what is left
    STALE_SHARE = 128     # after a while without news, our hits may be so much of the limit before others are asked
    STALE_HITS = 8        # ... or so many
    LEASE_RETRY_MS = 100  # when to come back if nothing is granted yet
    LOST_RETRY_MS = 1000  # when to come back if the store is lost


cdef struct counter_table:
    counter_shard *shards
    uint32_t shard_count
    uint32_t shard_shift  # digest.lo >> 1 >> shard_shift is the number of a key's shard
    uint64_t max_keys
    uint64_t bytes
    void *sync            # the memory of counter_sync and dirty of all shards; NULL: the table does not sync
    uint64_t sync_bytes
    rl_shard_set lost
    uint64_t nodes
    rl_shard_set urgent
    int bell


# What is known of a hit between the steps of a decision.
cdef struct sighting:
    counter_shard *shard
    counter_slot *slot    # NULL: the key has none
    uint32_t home         # first slot of its home group
    bint paired           # pair is the counter, brought to now; else the view is that of window_peek
    bint asks             # it needs a counter though it is over: to be leased for
    bint urgent           # its store shard should be flushed at once
    bint excused          # over, but passes: the store is lost. Charges nothing
    window_pair pair


# The sizes of one shard; every shard is laid out for the largest share of keys.
cdef struct shard_layout:
    uint32_t groups, width
    uint64_t slots, tags, windows, sketch   # bytes, whole lines


cdef inline uint64_t whole_lines(uint64_t bytes) noexcept nogil:
    return (bytes + LINE - 1) // LINE * LINE


cdef uint32_t choose_shard_bits(uint64_t max_keys) noexcept nogil:
    cdef uint32_t bits = 0
    while bits < MAX_SHARD_BITS and max_keys >> (bits + 1) >= SHARD_KEYS:
        bits += 1
    return bits


cdef shard_layout lay_out(uint64_t keys) noexcept nogil:
    cdef shard_layout at
    at.groups = <uint32_t>((keys + GROUP_KEYS - 1) // GROUP_KEYS)
    at.width = <uint32_t>(keys // SKETCH_KEYS)
    if at.width < SKETCH_LEAST:
        at.width = SKETCH_LEAST
    at.slots = <uint64_t>at.groups * RL_GROUP * sizeof(counter_slot)
    at.tags = whole_lines(<uint64_t>at.groups * RL_GROUP)
    at.windows = whole_lines(<uint64_t>at.groups * RL_GROUP * sizeof(uint32_t))
    at.sketch = whole_lines(<uint64_t>at.width * SKETCH_ROWS * sizeof(sketch_cell))
    return at


cdef counter_table *table_new(uint64_t max_keys) noexcept nogil:
    if max_keys == 0 or max_keys >> MAX_KEY_BITS:
        return NULL
    is_cache_line(<counter_slot *>NULL)
    cdef uint32_t bits = choose_shard_bits(max_keys), k
    cdef uint64_t count = <uint64_t>1 << bits, share = max_keys >> bits, extra = max_keys & (count - 1)
    cdef shard_layout sizes = lay_out(share + (extra != 0))
    cdef uint64_t each = sizes.slots + sizes.tags + sizes.windows + sizes.sketch
    cdef uint64_t head = whole_lines(sizeof(counter_table)) + count * sizeof(counter_shard)
    cdef char *memory = <char *>memory_reserve(head + count * each)
    if memory == NULL:
        return NULL
    cdef counter_table *table = <counter_table *>memory
    cdef counter_shard *shard
    table.shards = <counter_shard *>(memory + whole_lines(sizeof(counter_table)))
    table.shard_count = <uint32_t>count
    table.shard_shift = 63 - bits
    table.max_keys = max_keys
    table.bytes = head + count * each
    memory += head
    for k in range(count):
        shard = &table.shards[k]
        shard.max_keys = <uint32_t>(share + (k < extra))
        shard.groups = sizes.groups
        shard.sketch.width = sizes.width
        shard.slots = <counter_slot *>memory
        shard.tags = <uint8_t *>(memory + sizes.slots)
        shard.windows = <uint32_t *>(memory + sizes.slots + sizes.tags)
        shard.sketch.cells = <sketch_cell *>(memory + sizes.slots + sizes.tags + sizes.windows)
        memory += each
    return table


cdef void table_free(counter_table *table) noexcept nogil:
    if table == NULL:
        return
    if table.sync != NULL:
        bell_free(table.bell)
        memory_release(table.sync, table.sync_bytes)
    memory_release(table, table.bytes)


cdef bint table_commit(counter_table *table) noexcept nogil:
    return memory_commit(table, table.bytes) and (table.sync == NULL or memory_commit(table.sync, table.sync_bytes))


cdef bint table_sync(counter_table *table) noexcept nogil:
    cdef uint64_t groups = table.shards[0].groups, sides = groups * RL_GROUP * sizeof(counter_sync)
    cdef uint64_t each = sides + whole_lines(groups * sizeof(uint16_t))
    cdef char *memory
    cdef uint32_t k
    if table.sync != NULL:
        return True
    is_cache_line(<counter_sync *>NULL)
    memory = <char *>memory_reserve(table.shard_count * each)
    if memory == NULL:
        return False
    table.bell = bell_new()
    if table.bell < 0:
        memory_release(memory, table.shard_count * each)
        return False
    table.nodes = 1
    table.sync = memory
    table.sync_bytes = table.shard_count * each
    for k in range(table.shard_count):
        table.shards[k].sync = <counter_sync *>memory
        table.shards[k].dirty = <uint16_t *>(memory + sides)
        memory += each
    return True


cdef table_shards table_get_shards(const counter_table *table) noexcept nogil:
    cdef table_shards out
    out.list = table.shards
    out.count = table.shard_count
    out.shift = table.shard_shift
    return out


cdef void table_sync_state(counter_table *table, uint64_t lost_low, uint64_t lost_high, uint32_t nodes) noexcept nogil:
    cdef uint64_t fresh = min(<uint64_t>SYNC_RATIO * (max(nodes, <uint32_t>1) - 1), <uint64_t>UINT16_MAX)
    cdef uint32_t k
    shard_set_put(&table.lost, 0, lost_low)
    shard_set_put(&table.lost, 1, lost_high)
    rl_set(&table.nodes, max(nodes, <uint32_t>1))
    for k in range(table.shard_count):
        spin_lock(&table.shards[k].lock)
        table.shards[k].fresh_ratio = <uint16_t>fresh
        spin_unlock(&table.shards[k].lock)


cdef int table_bell(const counter_table *table) noexcept nogil:
    return table.bell


cdef void table_take_urgent(counter_table *table, uint64_t *low, uint64_t *high) noexcept nogil:
    bell_quiet(table.bell)      # first: what becomes urgent from here on rings again
    low[0] = shard_set_take(&table.urgent, 0)
    high[0] = shard_set_take(&table.urgent, 1)


cdef inline counter_shard *shard_of(const counter_table *table, const key_digest *digest) noexcept nogil:
    return &table.shards[digest.lo >> 1 >> table.shard_shift]


cdef inline int find_places(counter_table *table, const table_hit *hits, int count, sighting *seen, counter_shard **order) noexcept nogil:
    """Starts the misses of all hits before any is waited for, and puts their shards in ascending order. Returns how many those are."""
    cdef counter_shard *shard
    cdef uint32_t home
    cdef int shards = 0, i, at
    for i in range(count):
        shard = shard_of(table, &hits[i].digest)
        home = digest_home(shard, &hits[i].digest) * RL_GROUP   # nothing that is read here ever changes
        prefetch(shard.tags + home)
        prefetch(&shard.slots[home + digest_place(&hits[i].digest)])
        if table.sync != NULL:
            prefetch(&shard.sync[home + digest_place(&hits[i].digest)])
            prefetch(&shard.dirty[home // RL_GROUP])
        seen[i].shard = shard
        seen[i].home = home
        at = shards
        while at > 0 and order[at - 1] > shard:
            at -= 1
        if at == 0 or order[at - 1] != shard:
            put_shard(order, shards, at, shard)
            shards += 1
    return shards


cdef inline void put_shard(counter_shard **order, int count, int at, counter_shard *shard) noexcept nogil:
    while count > at:
        order[count] = order[count - 1]
        count -= 1
    order[at] = shard


cdef inline void lock_shards(counter_shard **order, int count) noexcept nogil:
    """In ascending order, so that two checks never wait for each other."""
    cdef int i
    for i in range(count):
        spin_lock(&order[i].lock)


cdef inline void unlock_shards(counter_shard **order, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        spin_unlock(&order[i].lock)


cdef inline void find_candidates(const table_hit *hits, int count, sighting *seen) noexcept nogil:
    """The slots that the tags name first. They are often not where the key likes to be, so their misses start here, all at once."""
    cdef counter_shard *shard
    cdef uint32_t mask
    cdef int i
    for i in range(count):
        shard = seen[i].shard
        mask = group_match(shard.tags + seen[i].home, digest_tag(&hits[i].digest))
        seen[i].slot = NULL
        if mask:
            seen[i].slot = &shard.slots[seen[i].home + mask_first(mask)]
            prefetch(seen[i].slot)
            if shard.sync != NULL:
                prefetch(&shard.sync[seen[i].home + mask_first(mask)])


cdef inline bint same_key(const key_digest *a, const key_digest *b) noexcept nogil:
    return a.lo == b.lo and a.hi == b.hi


cdef bint any_repeated(const table_hit *hits, int count) noexcept nogil:
    cdef int i, k
    for i in range(count):
        for k in range(i):
            if same_key(&hits[i].digest, &hits[k].digest):
                return True
    return False


cdef uint32_t with_pending(const table_hit *hits, int at, bint counts_all) noexcept nogil:
    """The cost of a hit and of those before it that are charged and share its counter, saturated."""
    cdef uint64_t cost = hits[at].cost
    cdef int i
    for i in range(at):
        if same_key(&hits[i].digest, &hits[at].digest) and (counts_all or not hits[i].view.over):
            cost += hits[i].cost
    return <uint32_t>cost if cost < UINT32_MAX else UINT32_MAX


cdef void look_slowly(const sighting *at, table_hit *hit, int64_t now_ms, uint32_t cost) noexcept nogil:
    """The view of a counter of any kind, or of a key that has none."""
    cdef window_state fresh
    if at.slot != NULL:
        window_peek(hit.rule, &at.slot.state, now_ms, cost, &hit.view)
    else:
        window_init(hit.rule, &fresh, now_ms, sketch_estimate(&at.shard.sketch, &hit.digest, now_ms))
        window_peek(hit.rule, &fresh, now_ms, cost, &hit.view)
    if hit.view.over:
        hit.view.remaining = 0


cdef inline bint look_at_pair(sighting *at, table_hit *hit, pair_place *place, int64_t now_ms) noexcept nogil:
    """Only whether it is over: what else there is to see is worked out when it is known whether the hit is charged."""
    if at.slot == NULL or not pair_fits(hit.rule):
        return False
    pair_find_place(place, hit.rule.window_ms, now_ms)
    if not pair_read(hit.rule, &at.slot.state, place, &at.pair):
        return False
    hit.view.over = at.pair.used + hit.cost > hit.rule.limit
    return True


cdef void overrule(sighting *at, table_hit *hit, uint32_t reset_after_ms) noexcept nogil:
    """Over, whatever the counter says."""
    at.paired = False
    hit.view.over = 1
    hit.view.remaining = 0
    hit.view.reset_after_ms = reset_after_ms


cdef bint over_share(const counter_table *table, const sighting *at, const table_hit *hit, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil:
    """Would our own hits be over one node's share of the limit? A token bucket's are counted in a sliding window."""
    cdef uint64_t nodes = rl_counted(&table.nodes)
    cdef window_state own
    cdef window_rule rule = hit.rule[0]
    cdef const counter_sync *side
    cdef uint32_t k
    memset(&own, 0, sizeof(own))
    if rule.algorithm == WINDOW_BUCKET:
        rule.algorithm = WINDOW_SLIDING
        rule.buckets = 1
    rule.limit = <uint32_t>((rule.limit + nodes - 1) // nodes)
    if at.slot != NULL:
        side = &at.shard.sync[at.slot - at.shard.slots]
        own.words[0] = side.number
        for k in range(rule.buckets + 1):
            own.words[1 + k] = side.own[k]
    window_peek(&rule, &own, now_ms, cost, out)
    return out.over


cdef void decide_lost(const counter_table *table, sighting *at, table_hit *hit, int64_t now_ms, uint32_t cost) noexcept nogil:
    """The store of this key is lost: its limit says what then."""
    cdef window_view share
    if hit.on_loss == TABLE_LOSS_DENY:
        if cost:
            hit.lost = 1
            look_slowly(at, hit, now_ms, cost)
            overrule(at, hit, LOST_RETRY_MS)
    elif hit.on_loss == TABLE_LOSS_ALLOW:
        if hit.view.over:
            look_slowly(at, hit, now_ms, cost)
            at.paired = False
            at.excused = True
            hit.view.over = 0
    elif hit.on_loss == TABLE_LOSS_SHARE:
        if cost and not hit.view.over and over_share(table, at, hit, now_ms, cost, &share):
            look_slowly(at, hit, now_ms, cost)
            overrule(at, hit, share.reset_after_ms)


cdef void assume(sighting *at, table_hit *hit, int64_t now_ms, uint32_t cost, uint64_t unknown) noexcept nogil:
    """Over, if others did what they may have done."""
    cdef window_state state = at.slot.state
    cdef window_view now
    window_peek(hit.rule, &state, now_ms, 0, &now)
    window_charge(hit.rule, &state, now_ms, <uint32_t>min(unknown, now.remaining))
    window_peek(hit.rule, &state, now_ms, cost, &hit.view)
    overrule(at, hit, hit.view.reset_after_ms)
    hit.view.used = now.used


cdef inline void watch(counter_sync *side, bint wanted) noexcept nogil:
    if wanted:
        side.flags |= <uint8_t>SYNC_WATCHED


cdef inline bint cannot_wait(const counter_sync *side, uint32_t limit, uint64_t used, uint64_t unknown, bint busy, int64_t now_ms) noexcept nogil:
    """Would it be known too late that the limit is reached? Or has so much come since others were heard that they may have done as much?"""
    cdef bint stale = not (side.flags & SYNC_HEARD and <uint32_t>now_ms - side.heard_ms <= <uint32_t>SYNC_FORESIGHT_MS)
    if stale and limit > SYNC_FEW and (busy or side.unheard >= max(limit // STALE_SHARE, <uint32_t>STALE_HITS)):
        return True
    return busy and (side.unheard + unknown) * URGENT_SHARE >= limit - used


cdef inline void make_urgent(counter_table *table, sighting *at, uint32_t store) noexcept nogil:
    shard_set_add(&table.urgent, store)
    at.urgent = True


cdef void judge_lease(counter_table *table, sighting *at, table_hit *hit, int64_t now_ms, uint32_t cost, bint dry) noexcept nogil:
    """What no grant covers is over, whatever the count; what one covers is not."""
    cdef uint32_t store = sync_shard(hit.digest.lo), side
    cdef bint covered = False, urgent = False
    if at.slot == NULL:
        at.asks = not dry
        if at.asks:
            make_urgent(table, at, store)
    else:
        side = <uint32_t>(at.slot - at.shard.slots)
        covered = lease_take(at.shard, side, hit.rule, window_number(hit.rule, now_ms), cost, dry, &urgent)
        if urgent and not at.shard.sync[side].flags & SYNC_URGENT:
            at.shard.sync[side].flags |= SYNC_URGENT
            make_urgent(table, at, store)
    if not covered and shard_set_has(&table.lost, store):
        decide_lost(table, at, hit, now_ms, cost)
    elif covered == hit.view.over:
        look_slowly(at, hit, now_ms, cost)
        if covered:
            at.paired = False
            hit.view.over = 0
        else:
            overrule(at, hit, LEASE_RETRY_MS)


cdef inline void judge(counter_table *table, sighting *at, table_hit *hit, int64_t now_ms, uint32_t cost, bint dry) noexcept nogil:
    """What the cluster has to say to a decision that this counter would make alone."""
    cdef uint32_t store = sync_shard(hit.digest.lo), limit = hit.rule.limit
    cdef uint64_t unknown, used
    cdef counter_sync *side
    cdef bint busy
    if hit.consistency == TABLE_LEASED and lease_fits(hit.rule):
        if cost:
            judge_lease(table, at, hit, now_ms, cost, dry)
        return
    if shard_set_has(&table.lost, store):
        decide_lost(table, at, hit, now_ms, cost)
        return
    if at.slot == NULL or cost == 0:
        return
    side = &at.shard.sync[at.slot - at.shard.slots]
    if hit.view.over:
        if not dry and limit > SYNC_FEW and hit.rule.window_ms <= SYNC_SHORT_MS:
            watch(side, True)
            sync_refuse(at.shard, <uint32_t>(at.slot - at.shard.slots), window_number(hit.rule, now_ms), cost)
        return
    if at.paired and side.own[LEASE_STATE]:     # it was leased under another policy
        sync_begin(at.shard, <uint32_t>(at.slot - at.shard.slots), window_number(hit.rule, now_ms), 0, now_ms)
    sync_wake(side, now_ms)
    unknown = sync_unknown(side, limit)
    used = at.pair.used if at.paired else hit.view.used
    busy = (used + unknown) * (2 if limit <= SYNC_FEW else BUSY_SHARE) >= limit
    if used + unknown + cost > limit:
        assume(at, hit, now_ms, cost, unknown)
        if dry:
            return
        sync_refuse(at.shard, <uint32_t>(at.slot - at.shard.slots), window_number(hit.rule, now_ms), cost)
    elif dry or not cannot_wait(side, limit, used, unknown, busy, now_ms):
        watch(side, busy and not dry and limit > SYNC_FEW)
        return
    watch(side, limit > SYNC_FEW)
    if not side.flags & SYNC_URGENT:
        side.flags |= SYNC_URGENT
        make_urgent(table, at, store)


cdef inline int look_all(
    counter_table *table, table_hit *hits, int count, sighting *seen, bint repeated, bint counts_all, bint dry, int64_t now_ms
) noexcept nogil:
    cdef pair_place place
    cdef uint32_t cost
    cdef int i, first = -1
    place.window_ms = 0
    for i in range(count):
        if seen[i].slot == NULL or not same_key(&seen[i].slot.digest, &hits[i].digest):
            seen[i].slot = shard_find(seen[i].shard, &hits[i].digest)
        cost = with_pending(hits, i, counts_all) if repeated else hits[i].cost
        seen[i].paired = not repeated and look_at_pair(&seen[i], &hits[i], &place, now_ms)
        if not seen[i].paired:
            look_slowly(&seen[i], &hits[i], now_ms, cost)
        seen[i].excused = seen[i].urgent = seen[i].asks = False
        hits[i].lost = 0
        if table.sync != NULL and hits[i].consistency != TABLE_LOCAL:
            judge(table, &seen[i], &hits[i], now_ms, cost, dry)
        if hits[i].view.over and first < 0 and not hits[i].shadow:
            first = i
    return first


cdef inline void ring_bell(const counter_table *table, const sighting *seen, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        if seen[i].urgent:
            bell_ring(table.bell)
            return


cdef inline void mark(counter_slot *slot, const table_hit *hit) noexcept nogil:
    """What /top and the eviction want to know of a counter that was just charged."""
    cdef uint32_t near = SLOT_NEAR if hit.view.used * 5 >= <uint64_t>hit.rule.limit * 4 else 0
    slot.meta = (slot.meta & (<uint32_t>SLOT_KIND | SLOT_RESET)) | near | (hit.slot & SLOT_METRIC)


cdef inline void take(counter_slot *slot, table_hit *hit, int64_t now_ms) noexcept nogil:
    window_take(hit.rule, &slot.state, now_ms, hit.cost, &hit.view)
    hit.view.over = 0
    mark(slot, hit)


cdef inline uint32_t to_seconds(int64_t now_ms) noexcept nogil:
    return <uint32_t>(<uint64_t>now_ms // 1000) if now_ms > 0 else 0


cdef inline void note_rate(const sighting *at, const table_hit *hit, int64_t now_ms) noexcept nogil:
    """The spans of a token bucket that meets another window begin anew. Called before it is charged under that."""
    if hit.rule.algorithm == WINDOW_BUCKET and at.slot.state.words[5] != hit.rule.window_ms:
        sync_begin(at.shard, <uint32_t>(at.slot - at.shard.slots), window_number(hit.rule, now_ms), 0, now_ms)


cdef inline void note_hit(const sighting *at, const table_hit *hit, int64_t now_ms) noexcept nogil:
    cdef uint32_t number = at.pair.number if at.paired else window_number(hit.rule, now_ms)
    note_rate(at, hit, now_ms)
    if hit.cost and not hit.view.over and hit.consistency != TABLE_LOCAL:
        sync_charge(at.shard, <uint32_t>(at.slot - at.shard.slots), number, hit.cost)


cdef void take_new(counter_shard *shard, table_hit *hit, int64_t now_ms) noexcept nogil:
    """Charges a key that had no slot when the check began."""
    cdef counter_slot *slot = shard_find(shard, &hit.digest)   # an earlier hit of this check may have made one
    cdef window_state fresh
    cdef uint64_t used
    if slot == NULL and hit.cost == 0:
        return
    if slot == NULL:
        used = sketch_estimate(&shard.sketch, &hit.digest, now_ms)
        if not shard_make_room(shard, &hit.digest, now_ms):
            window_init(hit.rule, &fresh, now_ms, used)
            window_take(hit.rule, &fresh, now_ms, hit.cost, &hit.view)
            hit.view.over = 0
            sketch_fold(&shard.sketch, &hit.digest, used + hit.cost, window_expires(hit.rule, &fresh, now_ms), now_ms)
            shard.sketched += 1
            return
        slot = shard_insert(shard, &hit.digest, hit.rule)
        window_init(hit.rule, &slot.state, now_ms, used)
        slot.meta = slot_kind(hit.rule)
        shard.inserted += 1
        if shard.sync != NULL:
            sync_begin(shard, <uint32_t>(slot - shard.slots), window_number(hit.rule, now_ms), used, now_ms)
    if shard.sync != NULL and hit.consistency != TABLE_LOCAL:
        sync_charge(shard, <uint32_t>(slot - shard.slots), window_number(hit.rule, now_ms), hit.cost)
    take(slot, hit, now_ms)
    slot.last_s = to_seconds(now_ms)


cdef void ask_new(counter_shard *shard, const table_hit *hit, int64_t now_ms) noexcept nogil:
    """A counter for a key that has none and may not be charged: the store has to grant it something first."""
    cdef counter_slot *slot = shard_find(shard, &hit.digest)
    cdef uint32_t number = window_number(hit.rule, now_ms)
    cdef bint urgent = False
    if slot == NULL:
        if not shard_make_room(shard, &hit.digest, now_ms):
            return
        slot = shard_insert(shard, &hit.digest, hit.rule)
        window_init(hit.rule, &slot.state, now_ms, sketch_estimate(&shard.sketch, &hit.digest, now_ms))
        slot.meta = slot_kind(hit.rule) | (hit.slot & SLOT_METRIC)
        shard.inserted += 1
        sync_begin(shard, <uint32_t>(slot - shard.slots), number, 0, now_ms)
    slot.last_s = to_seconds(now_ms)
    lease_take(shard, <uint32_t>(slot - shard.slots), hit.rule, number, hit.cost, False, &urgent)


cdef inline void view_pair(const sighting *at, table_hit *hit) noexcept nogil:
    if not hit.view.over:
        pair_view(hit.rule, &at.pair, &hit.view)
    else:
        pair_view_over(hit.rule, &at.pair, hit.cost, &hit.view)


cdef inline void settle_pair(sighting *at, table_hit *hit, bint charge) noexcept nogil:
    if charge and not hit.view.over:
        pair_add(&at.pair, hit.cost)
        pair_write(&at.pair, &at.slot.state)
        pair_view(hit.rule, &at.pair, &hit.view)
        mark(at.slot, hit)
    else:
        pair_write(&at.pair, &at.slot.state)
        view_pair(at, hit)


cdef inline void settle_slowly(counter_slot *slot, table_hit *hit, bint charge, int64_t now_ms) noexcept nogil:
    if charge and not hit.view.over:
        take(slot, hit, now_ms)
    else:
        window_charge(hit.rule, &slot.state, now_ms, 0)   # follows a clock that stepped far back


cdef inline void settle_all(table_hit *hits, int count, sighting *seen, bint charge, bint syncs, int64_t now_ms) noexcept nogil:
    cdef uint32_t now_s = to_seconds(now_ms)
    cdef bint grown = False
    cdef int i
    for i in range(count):
        if seen[i].slot == NULL:
            grown = True
            continue
        if syncs and charge and not seen[i].excused:
            note_hit(&seen[i], &hits[i], now_ms)
        if seen[i].paired:
            settle_pair(&seen[i], &hits[i], charge)
        else:
            settle_slowly(seen[i].slot, &hits[i], charge and not seen[i].excused, now_ms)
        seen[i].slot.last_s = now_s     # a key that is denied, or only watched, is in use too
    if not grown:
        return
    for i in range(count):              # inserting moves slots: only now
        if seen[i].slot != NULL:
            continue
        if charge and not hits[i].view.over and not seen[i].excused:
            take_new(seen[i].shard, &hits[i], now_ms)
        elif seen[i].asks:
            ask_new(seen[i].shard, &hits[i], now_ms)


cdef inline void view_all(table_hit *hits, int count, const sighting *seen) noexcept nogil:
    cdef int i
    for i in range(count):
        if seen[i].paired:
            view_pair(&seen[i], &hits[i])


cdef int table_decide(counter_table *table, table_hit *hits, int count, bint all_or_none, bint dry, int64_t now_ms) noexcept nogil:
    cdef counter_shard *order[TABLE_MAX_HITS]
    cdef sighting seen[TABLE_MAX_HITS]
    cdef int shards, first
    cdef bint repeated
    if count > TABLE_MAX_HITS:
        count = TABLE_MAX_HITS
    now_ms = window_clock(now_ms)
    shards = find_places(table, hits, count, seen, order)
    repeated = shards < count and any_repeated(hits, count)   # equal keys share their shard
    lock_shards(order, shards)
    find_candidates(hits, count, seen)
    first = look_all(table, hits, count, seen, repeated, False, dry, now_ms)
    if dry:
        view_all(hits, count, seen)
    else:
        settle_all(hits, count, seen, not all_or_none or first < 0, table.sync != NULL, now_ms)
    unlock_shards(order, shards)
    if table.sync != NULL:
        ring_bell(table, seen, count)
    return first


cdef inline void settle_counted(table_hit *hits, int count, sighting *seen, bint syncs, int64_t now_ms) noexcept nogil:
    """Charges all; those that are over stay so."""
    cdef uint32_t reset_after_ms[TABLE_MAX_HITS]
    cdef uint32_t over = 0
    cdef int i
    for i in range(count):
        if hits[i].view.over:
            over |= <uint32_t>1 << i
            reset_after_ms[i] = 0 if seen[i].paired else hits[i].view.reset_after_ms
            seen[i].paired = False
            hits[i].view.over = 0
        seen[i].excused = seen[i].asks = False
    settle_all(hits, count, seen, True, syncs, now_ms)
    for i in range(count):
        if over >> i & 1:
            hits[i].view.over = 1
            hits[i].view.remaining = 0
            if hits[i].view.used <= hits[i].rule.limit:     # not the count said so
                hits[i].view.reset_after_ms = reset_after_ms[i]


cdef int table_count(counter_table *table, table_hit *hits, int count, int64_t now_ms) noexcept nogil:
    cdef counter_shard *order[TABLE_MAX_HITS]
    cdef sighting seen[TABLE_MAX_HITS]
    cdef int shards, first
    cdef bint repeated
    if count > TABLE_MAX_HITS:
        count = TABLE_MAX_HITS
    now_ms = window_clock(now_ms)
    shards = find_places(table, hits, count, seen, order)
    repeated = shards < count and any_repeated(hits, count)
    lock_shards(order, shards)
    find_candidates(hits, count, seen)
    first = look_all(table, hits, count, seen, repeated, True, False, now_ms)
    settle_counted(hits, count, seen, table.sync != NULL, now_ms)
    unlock_shards(order, shards)
    if table.sync != NULL:
        ring_bell(table, seen, count)
    return first


cdef void table_charge(counter_table *table, table_hit *hits, int count, int64_t now_ms) noexcept nogil:
    cdef counter_shard *order[TABLE_MAX_HITS]
    cdef sighting seen[TABLE_MAX_HITS]
    cdef int shards, i
    if count > TABLE_MAX_HITS:
        count = TABLE_MAX_HITS
    now_ms = window_clock(now_ms)
    shards = find_places(table, hits, count, seen, order)
    lock_shards(order, shards)
    find_candidates(hits, count, seen)
    for i in range(count):
        if seen[i].slot == NULL or not same_key(&seen[i].slot.digest, &hits[i].digest):
            seen[i].slot = shard_find(seen[i].shard, &hits[i].digest)
        seen[i].paired = seen[i].excused = seen[i].asks = False
        if seen[i].slot == NULL and hits[i].cost == 0:
            look_slowly(&seen[i], &hits[i], now_ms, 0)
        hits[i].view.over = hits[i].lost = 0
    settle_all(hits, count, seen, True, table.sync != NULL, now_ms)
    unlock_shards(order, shards)


cdef int table_lookup(counter_table *table, const key_digest *digest, const window_rule *rule, int64_t now_ms, window_view *out) noexcept nogil:
    cdef counter_shard *shard = shard_of(table, digest)
    cdef const counter_slot *slot
    cdef window_state fresh
    cdef uint64_t estimate
    cdef int known = TABLE_UNKNOWN
    now_ms = window_clock(now_ms)
    spin_lock(&shard.lock)
    slot = shard_find(shard, digest)
    if slot != NULL:
        known = TABLE_COUNTED
        window_peek(rule, &slot.state, now_ms, 0, out)
    else:
        estimate = sketch_estimate(&shard.sketch, digest, now_ms)
        if estimate:
            known = TABLE_ESTIMATED
            window_init(rule, &fresh, now_ms, estimate)   # as a check would find it
            window_peek(rule, &fresh, now_ms, 0, out)
    spin_unlock(&shard.lock)
    return known


cdef void reset_slot(counter_shard *shard, counter_slot *slot, bint sketched, uint8_t flag, uint32_t number, int64_t now_ms) noexcept nogil:
    """While the sketch knows the key, or the store has to hear of it, an empty counter has to stand before it."""
    cdef uint32_t at = <uint32_t>(slot - shard.slots)
    cdef window_rule rule
    if not sketched and shard.sync == NULL:
        shard_erase(shard, at)
        return
    slot_rule(shard, at, &rule)
    window_clear(&rule, &slot.state)
    slot.meta = (slot.meta & ~<uint32_t>SLOT_NEAR) | (SLOT_RESET if sketched else 0)
    if shard.sync != NULL:
        sync_reset(shard, at, number, flag, now_ms)


cdef void insert_reset(
    counter_shard *shard, const key_digest *digest, const window_rule *rule, uint32_t metric, bint sketched, uint8_t flag, int64_t now_ms
) noexcept nogil:
    """The sketch's cells are shared and may not be lowered: the key gets an empty counter, whoever has to go for it."""
    cdef counter_slot *slot
    if not shard_make_room(shard, digest, now_ms):
        shard_force_room(shard, digest, now_ms)
    slot = shard_insert(shard, digest, rule)
    window_init(rule, &slot.state, now_ms, 0)
    slot.meta = slot_kind(rule) | (SLOT_RESET if sketched else 0) | (metric & SLOT_METRIC)
    slot.last_s = to_seconds(now_ms)
    shard.inserted += 1
    if shard.sync != NULL:
        sync_begin(shard, <uint32_t>(slot - shard.slots), window_number(rule, now_ms), 0, now_ms)
        sync_reset(shard, <uint32_t>(slot - shard.slots), window_number(rule, now_ms), flag, now_ms)


cdef int table_reset(
    counter_table *table, const key_digest *digest, const window_rule *rule, uint32_t slot, bint everywhere, int64_t now_ms
) noexcept nogil:
    cdef counter_shard *shard = shard_of(table, digest)
    cdef uint8_t flag = SYNC_CLEAR if everywhere else SYNC_REPLACE
    cdef counter_slot *found
    cdef bint sketched
    now_ms = window_clock(now_ms)
    spin_lock(&shard.lock)
    found = shard_find(shard, digest)
    sketched = sketch_estimate(&shard.sketch, digest, now_ms) > 0
    if found != NULL:
        reset_slot(shard, found, sketched, flag, window_number(rule, now_ms), now_ms)
    elif sketched or shard.sync != NULL:
        insert_reset(shard, digest, rule, slot, sketched, flag, now_ms)
    spin_unlock(&shard.lock)
    return found != NULL or sketched


cdef void table_get_stats(counter_table *table, table_stats *out) noexcept nogil:
    cdef counter_shard *shard
    cdef uint64_t k
    memset(out, 0, sizeof(table_stats))
    out.max_keys = table.max_keys
    out.bytes = table.bytes + table.sync_bytes
    for k in range(table.shard_count):
        shard = &table.shards[k]
        spin_lock(&shard.lock)
        out.keys += shard.keys
        out.inserted += shard.inserted
        out.evicted += shard.evicted
        out.expired += shard.expired
        out.sketched += shard.sketched
        spin_unlock(&shard.lock)
