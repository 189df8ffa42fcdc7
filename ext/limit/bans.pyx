from libc.string cimport memset

from ratelimitd._ext.core cimport rl_load_acquire, rl_store_release
from ratelimitd._ext.limit.window cimport window_clock


cdef extern from "limit/memory.h" namespace "rl" nogil:
    void *memory_reserve(size_t bytes) noexcept
    void memory_release(void *start, size_t bytes) noexcept


cdef extern from "limit/spin.h" nogil:
    ctypedef struct rl_spin:
        pass
    void spin_lock "rl::spin_lock"(rl_spin *lock) noexcept
    void spin_unlock "rl::spin_unlock"(rl_spin *lock) noexcept


cdef enum:
    MOST = 1 << 24
    STRIPES = 64
    CANDIDATES = 64       # lasting bans that are compared before one is dropped
    SWEEP_EVERY_MS = 100 # a full table is searched for records to drop no more often
    SLICE = 1024          # records that are passed under the lock at once


# Records are numbered from 1; number 0 is nobody.
cdef struct record:
    ban known
    uint32_t next         # in its bucket, or among the free
    uint8_t used
    uint8_t untold


# Order of locks: pool, then a stripe. The pool's guards who has a record and all writing, a stripe the chains of its buckets.
cdef struct ban_table:
    rl_spin pool
    rl_spin stripes[STRIPES]
    uint64_t *heads       # by bucket
    record *records
    ban_text *texts
    uint64_t bytes
    uint64_t bucket_mask
    uint64_t records_used
    uint32_t max_bans
    uint32_t free         # head of the records that were given back
    uint32_t fresh        # records from here on have never been used
    uint32_t hand
    int64_t swept_ms
    uint64_t made, evicted, forgotten, untold


cdef ban_table *bans_new(uint64_t max_bans) noexcept nogil:
    cdef uint64_t buckets = 64, head = (sizeof(ban_table) + 63) // 64 * 64, size
    cdef char *memory
    cdef ban_table *table
    if max_bans == 0 or max_bans > <uint64_t>MOST:
        return NULL
    while buckets < 4 * max_bans:
        buckets *= 2
    size = head + buckets * sizeof(uint64_t) + (max_bans + 1) * (sizeof(record) + sizeof(ban_text))
    memory = <char *>memory_reserve(size)
    if memory == NULL:
        return NULL
    table = <ban_table *>memory
    table.heads = <uint64_t *>(memory + head)
    table.records = <record *>(memory + head + buckets * sizeof(uint64_t))
    table.texts = <ban_text *>(table.records + max_bans + 1)
    table.bytes = size
    table.bucket_mask = buckets - 1
    table.max_bans = <uint32_t>max_bans
    table.fresh = 1
    table.hand = 1
    return table


cdef void bans_free(ban_table *table) noexcept nogil:
    if table != NULL:
        memory_release(table, table.bytes)


cdef bint bans_any(const ban_table *table) noexcept nogil:
    return rl_load_acquire(&table.records_used) != 0


# ---- what a record says

cdef inline int64_t _clock(int64_t now_ms) noexcept nogil:
    return window_clock(now_ms)


cdef uint32_t _level(const ban *known, int64_t now_ms) noexcept nogil:
    """What good behaviour has left of the level."""
    cdef int64_t good = now_ms - known.quiet_ms
    if good <= 0 or known.forgive_ms == 0:
        return known.level
    good = good // known.forgive_ms
    return <uint32_t>(known.level - good) if good < known.level else 0


cdef inline bint _counts(const ban *known, int64_t now_ms) noexcept nogil:
    """One whose level is 0 (a ban by hand, or one that was lifted) counts for one period of forgiveness: denials of before are then old enough."""
    return known.until_ms > now_ms or _level(known, now_ms) > 0 or now_ms - known.quiet_ms < known.forgive_ms


cdef inline bint _later(const ban *account, const ban *known) noexcept nogil:
    if account.changed_ms != known.changed_ms:
        return account.changed_ms > known.changed_ms
    return account.until_ms > known.until_ms or account.until_ms == known.until_ms and account.level > known.level


# ---- the chains

cdef inline uint64_t _bucket(const ban_table *table, const key_digest *digest) noexcept nogil:
    return digest.hi & table.bucket_mask


cdef inline rl_spin *_stripe(ban_table *table, uint64_t bucket) noexcept nogil:
    return &table.stripes[bucket & (STRIPES - 1)]


cdef inline uint32_t _search(const ban_table *table, uint64_t bucket, const key_digest *digest) noexcept nogil:
    """The number of the key's record, or 0. With the pool's or the stripe's lock."""
    cdef uint32_t at = <uint32_t>table.heads[bucket]
    while at and (table.records[at].known.digest.lo != digest.lo or table.records[at].known.digest.hi != digest.hi):
        at = table.records[at].next
    return at


cdef void _drop(ban_table *table, uint32_t at) noexcept nogil:
    """Gives a record back. With the pool's lock."""
    cdef uint64_t bucket = _bucket(table, &table.records[at].known.digest)
    cdef uint32_t before
    spin_lock(_stripe(table, bucket))
    before = <uint32_t>table.heads[bucket]
    if before == at:
        rl_store_release(&table.heads[bucket], table.records[at].next)
    else:
        while table.records[before].next != at:
            before = table.records[before].next
        table.records[before].next = table.records[at].next
    spin_unlock(_stripe(table, bucket))
    table.untold -= table.records[at].untold
    table.records[at].used = table.records[at].untold = 0
    table.records[at].next = table.free
    table.free = at
    rl_store_release(&table.records_used, table.records_used - 1)


cdef void _sweep(ban_table *table, int64_t now_ms) noexcept nogil:
    """Drops what does not count any more. When nothing such is found: what is not banned."""
    cdef uint32_t at, turn
    for turn in range(2):
        for at in range(1, table.fresh):
            if table.records[at].used and (table.records[at].known.until_ms <= now_ms if turn else not _counts(&table.records[at].known, now_ms)):
                _drop(table, at)
                table.forgotten += turn
        if table.free:
            return


cdef void _evict(ban_table *table) noexcept nogil:
    """Of a few the ban that ends soonest."""
    cdef uint32_t best = 0, turn
    for turn in range(min(<uint32_t>CANDIDATES, table.max_bans)):
        if best == 0 or table.records[table.hand].known.until_ms < table.records[best].known.until_ms:
            best = table.hand
        table.hand = table.hand + 1 if table.hand < table.max_bans else 1
    _drop(table, best)
    table.evicted += 1


cdef uint32_t _take(ban_table *table, int64_t now_ms) noexcept nogil:
    """A record that nobody has. With the pool's lock."""
    cdef uint32_t at
    if table.free == 0 and table.fresh > table.max_bans and (now_ms - table.swept_ms >= SWEEP_EVERY_MS or now_ms < table.swept_ms):
        table.swept_ms = now_ms
        _sweep(table, now_ms)
    if table.free == 0 and table.fresh > table.max_bans:
        _evict(table)
    at = table.free
    if at:
        table.free = table.records[at].next
    else:
        at = table.fresh
        table.fresh += 1
    return at


cdef uint32_t _insert(ban_table *table, uint64_t bucket, const key_digest *digest, const ban_text *text, int64_t now_ms) noexcept nogil:
    """A record for a key that has none. With the pool's lock."""
    cdef uint32_t at = _take(table, now_ms)
    memset(&table.records[at], 0, sizeof(record))
    table.records[at].known.digest = digest[0]
    table.records[at].used = 1
    table.texts[at] = text[0]
    spin_lock(_stripe(table, bucket))
    table.records[at].next = <uint32_t>table.heads[bucket]
    rl_store_release(&table.heads[bucket], at)
    spin_unlock(_stripe(table, bucket))
    rl_store_release(&table.records_used, table.records_used + 1)
    return at


cdef inline void _write(ban_table *table, uint64_t bucket, uint32_t at, const ban *known, bint untold) noexcept nogil:
    """With the pool's lock; readers hold the stripe's only."""
    spin_lock(_stripe(table, bucket))
    table.records[at].known = known[0]
    spin_unlock(_stripe(table, bucket))
    table.untold += untold - table.records[at].untold
    table.records[at].untold = untold


# ---- reading and writing

cdef bint bans_find(ban_table *table, const key_digest *digest, int64_t now_ms, ban *out) noexcept nogil:
    cdef uint64_t bucket = _bucket(table, digest)
    cdef uint32_t at
    if rl_load_acquire(&table.heads[bucket]) == 0:
        return False
    now_ms = _clock(now_ms)
    spin_lock(_stripe(table, bucket))
    at = _search(table, bucket, digest)
    if at:
        out[0] = table.records[at].known
    spin_unlock(_stripe(table, bucket))
    if at == 0 or not _counts(out, now_ms):
        return False
    out.level = _level(out, now_ms)
    return True


cdef void bans_renew(ban_table *table, const key_digest *digest, int64_t now_ms) noexcept nogil:
    cdef uint64_t bucket = _bucket(table, digest)
    cdef uint32_t at
    cdef ban known
    if rl_load_acquire(&table.heads[bucket]) == 0:
        return
    now_ms = _clock(now_ms)
    spin_lock(&table.pool)
    at = _search(table, bucket, digest)
    if at and _counts(&table.records[at].known, now_ms):
        known = table.records[at].known
        known.level = _level(&known, now_ms)
        known.quiet_ms = max(known.quiet_ms, now_ms)
        _write(table, bucket, at, &known, table.records[at].untold)
    spin_unlock(&table.pool)


cdef bint bans_raise(ban_table *table, const key_digest *digest, const ban_text *text, const int64_t *steps, uint32_t step_count, uint32_t forgive_ms, int64_t now_ms, ban *out) noexcept nogil:
    cdef uint64_t bucket = _bucket(table, digest)
    cdef uint32_t at, level = 0
    cdef bint banned = False
    now_ms = _clock(now_ms)
    spin_lock(&table.pool)
    at = _search(table, bucket, digest)
    if at:
        level = _level(&table.records[at].known, now_ms)
        banned = table.records[at].known.until_ms > now_ms
    if not banned:
        if at == 0:
            at = _insert(table, bucket, digest, text, now_ms)
        out.digest = digest[0]
        out.until_ms = now_ms + steps[min(level, step_count - 1)]
        out.changed_ms = now_ms
        out.quiet_ms = out.until_ms
        out.forgive_ms = forgive_ms
        out.level = level + 1
        _write(table, bucket, at, out, True)
        table.made += 1
    spin_unlock(&table.pool)
    return not banned


cdef bint bans_put(ban_table *table, const ban *account, const ban_text *text, bint told, int64_t now_ms) noexcept nogil:
    cdef uint64_t bucket = _bucket(table, &account.digest)
    cdef uint32_t at
    cdef bint later
    now_ms = _clock(now_ms)
    if not _counts(account, now_ms):
        return False
    spin_lock(&table.pool)
    at = _search(table, bucket, &account.digest)
    later = at == 0 or _later(account, &table.records[at].known)
    if later:
        if at == 0:
            at = _insert(table, bucket, &account.digest, text, now_ms)
        _write(table, bucket, at, account, not told)
    spin_unlock(&table.pool)
    return later


cdef bint bans_next(ban_table *table, uint32_t *at, int64_t now_ms, ban *out, ban_text *text) noexcept nogil:
    cdef bint found = False, more = True
    cdef uint32_t end
    now_ms = _clock(now_ms)
    at[0] = max(at[0], <uint32_t>1)
    while more and not found:
        spin_lock(&table.pool)
        more = at[0] < table.fresh
        end = min(table.fresh, at[0] + SLICE)
        while not found and at[0] < end:
            if table.records[at[0]].used and _counts(&table.records[at[0]].known, now_ms):
                found = True
                out[0] = table.records[at[0]].known
                out.level = _level(out, now_ms)
                text[0] = table.texts[at[0]]
            at[0] += 1
        spin_unlock(&table.pool)
    return found


cdef bint bans_told(ban_table *table, uint32_t *at, ban *out, ban_text *text) noexcept nogil:
    cdef bint found = False, more = True
    cdef uint32_t end
    at[0] = max(at[0], <uint32_t>1)
    while more and not found:
        spin_lock(&table.pool)
        more = at[0] < table.fresh and table.untold > 0
        end = min(table.fresh, at[0] + SLICE) if more else at[0]
        while not found and at[0] < end:
            if table.records[at[0]].untold:
                found = True
                out[0] = table.records[at[0]].known
                text[0] = table.texts[at[0]]
                table.records[at[0]].untold = 0
                table.untold -= 1
            at[0] += 1
        spin_unlock(&table.pool)
    return found


cdef void bans_retell(ban_table *table, int64_t now_ms) noexcept nogil:
    cdef uint32_t at = 1, end = 1
    cdef bint untold
    now_ms = _clock(now_ms)
    while at <= end:
        spin_lock(&table.pool)
        end = min(table.fresh, at + SLICE)
        while at < end:
            untold = table.records[at].used and _counts(&table.records[at].known, now_ms)
            table.untold += untold - table.records[at].untold
            table.records[at].untold = untold
            at += 1
        end = table.fresh - 1
        spin_unlock(&table.pool)


cdef void bans_get_stats(ban_table *table, int64_t now_ms, ban_stats *out) noexcept nogil:
    cdef uint32_t at = 1, end
    memset(out, 0, sizeof(ban_stats))
    now_ms = _clock(now_ms)
    while True:
        spin_lock(&table.pool)
        end = min(table.fresh, at + SLICE)
        while at < end:
            if table.records[at].used and table.records[at].known.until_ms > now_ms:
                out.banned += 1
            at += 1
        out.records = table.records_used
        out.made = table.made
        out.evicted = table.evicted
        out.forgotten = table.forgotten
        out.untold = table.untold
        end = table.fresh
        spin_unlock(&table.pool)
        if at >= end:
            break
    out.max_bans = table.max_bans
