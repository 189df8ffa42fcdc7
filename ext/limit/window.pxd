# The arithmetic of the three algorithms, on a counter's plain state. No I/O, no clock, no allocation: `now` is a parameter.
#
# `hit` never wraps: counts saturate at 2**32 - 1. A clock that steps back never refills; one that stepped far back (more than a
# window) is followed from there with the current count kept.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    WINDOW_SLIDING = 0   # weighted two-bucket, or sub-buckets when buckets > 1
    WINDOW_FIXED = 1     # aligned to the epoch
    WINDOW_BUCKET = 2    # token bucket, kept as a theoretical arrival time (GCRA)


cdef struct window_rule:
    uint32_t limit        # hits per window; token bucket: the burst. 0 bans
    uint32_t window_ms
    uint8_t algorithm
    uint8_t buckets       # sliding: 1, or 2..8


# 40 bytes of a counter that belong to the algorithm.
cdef struct window_state:
    uint32_t words[10]


cdef struct window_view:
    uint64_t used         # estimated hits in the window now, rounded up
    uint64_t remaining
    uint32_t reset_after_ms   # until used is 0 again if nothing comes; when over: until `cost` could pass
    uint8_t over          # cost does not fit


# What would a hit of cost (0 peeks) see? Reads only. remaining is before the hit.
cdef void window_peek(const window_rule *rule, const window_state *state, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil

# Charges cost, unconditionally. The state must be valid for rule (window_init or an earlier call).
cdef void window_charge(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t cost) noexcept nogil

# A fresh counter that already has `used` hits (an evicted key's estimate; 0 for a new key).
cdef void window_init(const window_rule *rule, window_state *state, int64_t now_ms, uint64_t used) noexcept nogil

# When the counter no longer says anything (milliseconds since the epoch): it may then be dropped without a trace.
cdef int64_t window_expires(const window_rule *rule, const window_state *state) noexcept nogil
