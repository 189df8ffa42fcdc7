"""The counting room, opened to tests: thin wrappers of key, window and table, no logic of their own."""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from ratelimitd._ext.flush cimport Flush, flush_new
from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret
from ratelimitd._ext.limit.refund cimport refund
from ratelimitd._ext.limit.table cimport (
    TABLE_MAX_HITS,
    counter_table,
    table_charge,
    table_count,
    table_decide,
    table_free,
    table_get_stats,
    table_hit,
    TABLE_COUNTED,
    TABLE_ESTIMATED,
    table_lookup,
    table_new,
    table_reset,
    table_stats,
    table_sync,
)
from ratelimitd._ext.limit.window cimport (
    window_charge,
    window_clear,
    window_expires,
    window_init,
    window_peek,
    window_rule,
    window_state,
    window_take,
    window_used,
    window_view,
)


cdef extern from "limit/siphash.h" namespace "rl" nogil:
    void siphash_2_4 "rl::siphash128<2, 4>"(uint64_t k0, uint64_t k1, const void *data, size_t size,
                                            uint64_t *lo, uint64_t *hi) noexcept


cdef tuple as_tuple(window_view view):
    return view.used, view.remaining, view.reset_after_ms, bool(view.over)


cdef window_rule as_rule(object rule):
    cdef window_rule out
    out.limit, out.window_ms, out.algorithm, out.buckets = rule
    return out


cdef key_digest as_digest(object digest):
    cdef key_digest out
    out.lo, out.hi = digest
    return out


def hash_key(uint64_t k0, uint64_t k1, bytes data):
    cdef key_secret secret
    cdef key_digest out
    secret.k0, secret.k1 = k0, k1
    key_hash(&secret, <const char *>data, len(data), &out)
    return out.lo, out.hi


def siphash_2_4_128(uint64_t k0, uint64_t k1, bytes data):
    cdef uint64_t lo, hi
    siphash_2_4(k0, k1, <const char *>data, len(data), &lo, &hi)
    return lo, hi


cdef class Window:
    """One counter under one rule: (limit, window_ms, algorithm, buckets)."""
    cdef window_rule rule
    cdef window_state state

    def __init__(self, rule, int64_t now_ms, uint64_t used=0):
        self.rule = as_rule(rule)
        window_init(&self.rule, &self.state, now_ms, used)

    def set_rate(self, uint32_t limit, uint32_t window_ms):
        self.rule.limit, self.rule.window_ms = limit, window_ms

    def peek(self, int64_t now_ms, uint32_t cost=0):
        cdef window_view view
        window_peek(&self.rule, &self.state, now_ms, cost, &view)
        return as_tuple(view)

    def charge(self, int64_t now_ms, uint32_t cost=1):
        window_charge(&self.rule, &self.state, now_ms, cost)

    def take(self, int64_t now_ms, uint32_t cost=1):
        cdef window_view view
        window_take(&self.rule, &self.state, now_ms, cost, &view)
        return as_tuple(view)

    def clear(self):
        window_clear(&self.rule, &self.state)

    def expires(self, int64_t now_ms):
        return window_expires(&self.rule, &self.state, now_ms)

    def used(self, int64_t now_ms):
        return window_used(&self.rule, &self.state, now_ms)

    def words(self):
        return [self.state.words[k] for k in range(10)]


def replay(rule, list arrivals, bint count_denied=False):
    """Hits of cost 1 at the given ms, charged when they fit, or always: which ones fitted, as bytes of 0 and 1."""
    cdef window_rule plain = as_rule(rule)
    cdef window_state state
    cdef window_view view
    cdef bytearray admitted = bytearray(len(arrivals))
    cdef int64_t now_ms
    cdef Py_ssize_t i
    window_init(&plain, &state, arrivals[0] if arrivals else 0, 0)
    for i in range(len(arrivals)):
        now_ms = arrivals[i]
        window_peek(&plain, &state, now_ms, 1, &view)
        admitted[i] = not view.over
        if count_denied or not view.over:
            window_charge(&plain, &state, now_ms, 1)
    return bytes(admitted)


cdef fill(table_hit *out, window_rule *rule, hit):
    rule[0] = as_rule(hit[1])
    out.digest = as_digest(hit[0])
    out.rule = rule
    out.cost = hit[2]
    out.shadow = hit[3]
    out.slot = hit[4] if len(hit) > 4 else 0
    out.consistency, out.on_loss = hit[5:7] if len(hit) > 6 else (0, 0)


cdef class Table:
    """A counter table. A hit is (digest (lo, hi), rule, cost, shadow[, metric slot[, consistency, on_loss]])."""
    cdef counter_table *table
    cdef Flush flush

    def __cinit__(self, uint64_t max_keys, bint sync=False):
        self.table = table_new(max_keys)
        if self.table == NULL:
            raise MemoryError
        if sync:
            if not table_sync(self.table):
                raise MemoryError
            self.flush = flush_new(self.table)

    def __dealloc__(self):
        table_free(self.table)

    def decide(self, hits, int64_t now_ms, bint all_or_none=True, bint dry=False):
        """(index of the first enforced hit that is over or -1, [(used, remaining, reset_after_ms, over)])"""
        cdef table_hit native[TABLE_MAX_HITS]
        cdef window_rule rules[TABLE_MAX_HITS]
        cdef int count = len(hits), i, first
        for i in range(count):
            fill(&native[i], &rules[i], hits[i])
        with nogil:
            first = table_decide(self.table, native, count, all_or_none, dry, now_ms)
        return first, [as_tuple(native[i].view) for i in range(count)]

    def count(self, hits, int64_t now_ms):
        """As decide, and charges all of them."""
        cdef table_hit native[TABLE_MAX_HITS]
        cdef window_rule rules[TABLE_MAX_HITS]
        cdef int count = len(hits), i, first
        for i in range(count):
            fill(&native[i], &rules[i], hits[i])
        first = table_count(self.table, native, count, now_ms)
        return first, [as_tuple(native[i].view) for i in range(count)]

    def refund(self, hit, int64_t now_ms):
        """(used, remaining, reset_after_ms, over)"""
        cdef table_hit native
        cdef window_rule rule
        fill(&native, &rule, hit)
        refund(self.table, &native, now_ms)
        return as_tuple(native.view)

    def charge(self, hits, int64_t now_ms):
        """[(used, remaining, reset_after_ms, over)]"""
        cdef table_hit native[TABLE_MAX_HITS]
        cdef window_rule rules[TABLE_MAX_HITS]
        cdef int count = len(hits), i
        for i in range(count):
            fill(&native[i], &rules[i], hits[i])
        table_charge(self.table, native, count, now_ms)
        return [as_tuple(native[i].view) for i in range(count)]

    def lookup(self, digest, rule, int64_t now_ms):
        cdef key_digest key = as_digest(digest)
        cdef window_rule plain = as_rule(rule)
        cdef window_view view
        return as_tuple(view) if table_lookup(self.table, &key, &plain, now_ms, &view) == TABLE_COUNTED else None

    def estimate(self, digest, rule, int64_t now_ms):
        """As lookup, of a key that only the sketch knows."""
        cdef key_digest key = as_digest(digest)
        cdef window_rule plain = as_rule(rule)
        cdef window_view view
        return as_tuple(view) if table_lookup(self.table, &key, &plain, now_ms, &view) == TABLE_ESTIMATED else None

    def reset(self, digest, rule, int64_t now_ms, bint everywhere=True):
        cdef key_digest key = as_digest(digest)
        cdef window_rule plain = as_rule(rule)
        return bool(table_reset(self.table, &key, &plain, 0, everywhere, now_ms))

    def pack(self, int64_t now_ms, shards=range(128), limit=1 << 20):
        return self.flush.pack(shards, limit, now_ms)

    def merge(self, groups, replies, int64_t now_ms):
        return self.flush.merge(groups, replies, now_ms)

    def unsent(self, groups):
        self.flush.unsent(groups)

    def resync(self, shards=range(128)):
        self.flush.resync(shards)

    def sync_state(self, lost, uint32_t nodes):
        self.flush.state(lost, nodes)

    def urgent(self):
        return self.flush.urgent()

    def sync_stats(self):
        return self.flush.stats()

    def stats(self):
        cdef table_stats out
        table_get_stats(self.table, &out)
        return out

    def hammer(self, digests, rule, uint64_t rounds, uint64_t seed, int64_t now_ms, int hits=1, bint touch=True):
        """`rounds` checks of `hits` keys each, drawn from `digests` by a xorshift, without the interpreter lock. Returns how many were
        admitted. Call it from several threads."""
        cdef window_rule plain = as_rule(rule)
        cdef size_t count = len(digests), k
        cdef key_digest *keys = <key_digest *>malloc(count * sizeof(key_digest))
        cdef uint64_t admitted
        if keys == NULL:
            raise MemoryError
        try:
            for k in range(count):
                keys[k] = as_digest(digests[k])
            with nogil:
                admitted = hammer_keys(self.table, keys, count, &plain, rounds, seed | 1, now_ms, hits, touch)
        finally:
            free(keys)
        return admitted

    def hammer_range(self, uint64_t keys, rule, uint64_t rounds, uint64_t seed, int64_t now_ms, int hits=3, bint in_order=False):
        """The same over keys numbered 0..keys-1, digested on the way: for benchmarks of big tables."""
        cdef window_rule plain = as_rule(rule)
        cdef uint64_t admitted
        with nogil:
            admitted = hammer_numbers(self.table, keys, &plain, rounds, seed | 1, now_ms, hits, in_order)
        return admitted


cdef inline uint64_t draw(uint64_t *state) noexcept nogil:
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return state[0]


cdef uint64_t hammer_keys(counter_table *table, const key_digest *keys, size_t count, const window_rule *rule, uint64_t rounds,
                          uint64_t seed, int64_t now_ms, int hits, bint touch) noexcept nogil:
    cdef table_hit native[TABLE_MAX_HITS]
    cdef uint64_t admitted = 0, turn
    cdef int i
    for turn in range(rounds):
        for i in range(hits):
            native[i].digest = keys[draw(&seed) % count]
            native[i].rule = rule
            native[i].cost = touch
            native[i].slot = 0
            native[i].shadow = native[i].consistency = native[i].on_loss = 0
        admitted += table_decide(table, native, hits, True, False, now_ms) < 0
    return admitted


cdef uint64_t hammer_numbers(counter_table *table, uint64_t keys, const window_rule *rule, uint64_t rounds, uint64_t seed,
                             int64_t now_ms, int hits, bint in_order) noexcept nogil:
    cdef table_hit native[TABLE_MAX_HITS]
    cdef key_secret secret
    cdef uint64_t admitted = 0, turn, number, next = 0
    cdef int i
    secret.k0, secret.k1 = 1, 2
    for turn in range(rounds):
        for i in range(hits):
            if in_order:
                number = next
                next += 1
            else:
                number = draw(&seed) % keys
            key_hash(&secret, &number, sizeof(number), &native[i].digest)
            native[i].rule = rule
            native[i].cost = 1
            native[i].slot = 0
            native[i].shadow = native[i].consistency = native[i].on_loss = 0
        admitted += table_decide(table, native, hits, True, False, now_ms) < 0
    return admitted
