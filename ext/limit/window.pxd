# The arithmetic of the three algorithms, on a counter's plain state. No I/O, no clock, no allocation: `now` is a parameter.
#
# A hit fits when used + cost <= limit, with `used` rounded up: a fresh window admits exactly `limit` hits. Counts never wrap: they
# saturate at 2**32 - 1. A clock that steps back never refills: the counter waits where it is, or, when it stepped back by more than a
# window, follows with the current count kept (as if all of it had just happened).
#
# Words of a state. Sliding: 0 the bucket's number (low 32 bits), 1..buckets+1 the counts, newest first; two-bucket leaves 3..9 free.
# Fixed: 0 the window's number, 1 the count; one of more than 49 days is eight window_ms long. Token bucket: 0-1 the backlog, 2-3 since when (ms), 4 the limit and 5 the window_ms it was
# charged under: a counter may meet another rate. It then keeps its hits, at most a full burst, so that it is free within a window.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    WINDOW_SLIDING = 0   # weighted two-bucket, or sub-buckets when buckets > 1
    WINDOW_FIXED = 1     # aligned to the epoch
    WINDOW_LONG = 8      # buckets of a fixed window that is so many times window_ms long
    WINDOW_BUCKET = 2    # token bucket: GCRA, kept as the exact backlog (theoretical arrival time - now, in 1/window_ms hits)


cdef struct window_rule:
    uint32_t limit        # hits per window; token bucket: the burst. 0 bans
    uint32_t window_ms    # at least 1
    uint8_t algorithm
    uint8_t buckets       # sliding: 1, or 2..8; fixed: 1, or WINDOW_LONG


# 40 bytes of a counter that belong to the algorithm.
cdef struct window_state:
    uint32_t words[10]


cdef struct window_view:
    uint64_t used         # estimated hits in the window now, rounded up
    uint64_t remaining
    uint32_t reset_after_ms   # until used is 0 again if nothing comes; when over: until `cost` could pass
    uint8_t over          # cost does not fit


# Of a whole window.
cdef inline uint64_t window_length(const window_rule *rule) noexcept nogil:
    return <uint64_t>rule.window_ms * WINDOW_LONG if rule.algorithm == WINDOW_FIXED and rule.buckets == WINDOW_LONG else rule.window_ms


# Low half of the number of the bucket that now is in. now_ms: as window_clock has it.
cdef inline uint32_t window_number(const window_rule *rule, int64_t now_ms) noexcept nogil:
    cdef uint64_t now = <uint64_t>now_ms
    return <uint32_t>(now * rule.buckets // rule.window_ms if rule.algorithm == WINDOW_SLIDING else now // window_length(rule))


# The time that counts as now. A million years at most: ticks and ends of windows stay far inside 64 bits.
cdef inline int64_t window_clock(int64_t now_ms) noexcept nogil:
    cdef int64_t latest = <int64_t>1 << 55
    return 0 if now_ms < 0 else latest if now_ms > latest else now_ms

# What would a hit of cost (0 peeks) see? Reads only. remaining is before the hit.
cdef void window_peek(const window_rule *rule, const window_state *state, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil

# Charges cost, unconditionally. The state must be valid for rule (window_init or an earlier call).
cdef void window_charge(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t cost) noexcept nogil

# Charges cost, unconditionally, and views the counter after that (over: 0 when used <= limit).
cdef void window_take(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil

# Gives hits back, the newest first, as far as there are any. Returns how many. own: NULL, or how many of each count may be given back at
# most, number: of the bucket of own[0]; they become less. A token bucket's are of all that it has, own[0] and own[1].
cdef uint32_t window_refund(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t hits, uint32_t *own, uint32_t number) noexcept nogil

# A fresh counter that already has `used` hits (an evicted key's estimate; 0 for a new key). A token bucket has no more than its burst.
cdef void window_init(const window_rule *rule, window_state *state, int64_t now_ms, uint64_t used) noexcept nogil

# Forgets the hits and keeps the place in time.
cdef void window_clear(const window_rule *rule, window_state *state) noexcept nogil

# When the counter no longer says anything (milliseconds since the epoch; 0: it is empty): it may then be dropped without a trace.
# rule->limit is not read here, nor a token bucket's window_ms: a counter outlives the rule that it was charged under.
cdef int64_t window_expires(const window_rule *rule, const window_state *state, int64_t now_ms) noexcept nogil

# Hits in the window now, rounded up, under the limit of the last charge: window_peek for who no longer has the rule's limit.
cdef uint64_t window_used(const window_rule *rule, const window_state *state, int64_t now_ms) noexcept nogil
