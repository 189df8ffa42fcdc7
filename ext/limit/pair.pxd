# The window that nearly every limit has, on the hot path: one bucket to a window, sliding or fixed, under a clock that did not step
# back. A counter is brought to now once, and looked at and charged from there. window.pyx says the same of any window, more slowly;
# who finds that a pair does not fit asks there.
from libc.stdint cimport UINT32_MAX, int64_t, uint32_t, uint64_t

from ratelimitd._ext.limit.window cimport WINDOW_FIXED, WINDOW_SLIDING, window_rule, window_state, window_view


# Where now is among windows of window_ms. The limits of a check often share their window, and a 64-bit division is slow.
cdef struct pair_place:
    uint32_t window_ms    # 0: nowhere yet
    uint32_t number       # of the window that now is in: the low half
    uint32_t offset       # ms that have passed of it


# A counter brought to now.
cdef struct window_pair:
    uint32_t number
    uint32_t offset
    uint32_t current
    uint32_t previous     # 0 in a fixed window
    uint64_t used         # current and what of previous is still in the window, rounded up


cdef inline bint pair_fits(const window_rule *rule) noexcept nogil:
    return rule.buckets == 1 and (rule.algorithm == WINDOW_FIXED or rule.algorithm == WINDOW_SLIDING)


cdef inline uint64_t divide(uint64_t a, uint32_t b) noexcept nogil:
    """a // b: most products are small, and then a division costs half."""
    return a // b if a >> 32 else <uint32_t>a // b


# now_ms: never negative, and the same as long as `at` lives.
cdef inline void pair_find_place(pair_place *at, uint32_t window_ms, int64_t now_ms) noexcept nogil:
    cdef uint64_t number
    if at.window_ms == window_ms:
        return
    number = <uint64_t>now_ms // window_ms
    at.window_ms = window_ms
    at.number = <uint32_t>number
    at.offset = <uint32_t>(<uint64_t>now_ms - number * window_ms)


# 0 when the clock stepped back.
cdef inline bint pair_read(const window_rule *rule, const window_state *state, const pair_place *place, window_pair *out) noexcept nogil:
    cdef uint32_t ahead = place.number - state.words[0]
    out.number = place.number
    out.offset = place.offset
    out.current = out.previous = 0
    if ahead == 0:
        out.current = state.words[1]
        out.previous = state.words[2]
    elif ahead == 1 and rule.algorithm == WINDOW_SLIDING:
        out.previous = state.words[1]
    out.used = out.current
    if out.previous:
        out.used += divide(<uint64_t>out.previous * (rule.window_ms - out.offset) + rule.window_ms - 1, rule.window_ms)
    return ahead <= UINT32_MAX // 2


# A cost that fits, so that no count overflows.
cdef inline void pair_add(window_pair *at, uint32_t cost) noexcept nogil:
    at.current += cost
    at.used += cost


cdef inline void pair_write(const window_pair *at, window_state *state) noexcept nogil:
    state.words[0] = at.number
    state.words[1] = at.current
    state.words[2] = at.previous


cdef inline uint32_t pair_empty_after(const window_rule *rule, const window_pair *at) noexcept nogil:
    """ms until the newest hit leaves the window."""
    cdef uint64_t left = rule.window_ms - at.offset
    if at.current == 0:
        return <uint32_t>left if at.previous else 0
    if rule.algorithm == WINDOW_SLIDING:
        left += rule.window_ms
    return <uint32_t>left if left <= UINT32_MAX else UINT32_MAX


cdef inline uint32_t pair_fits_after(const window_rule *rule, const window_pair *at, uint32_t cost) noexcept nogil:
    """ms until `cost`, which is over now, fits if nothing comes."""
    cdef uint32_t target = rule.limit - cost
    cdef uint64_t left = rule.window_ms - at.offset
    if cost > rule.limit:
        return rule.window_ms
    if rule.algorithm == WINDOW_FIXED:
        return <uint32_t>left
    # A count of n weighs at most r once window_ms - r * window_ms // n of the window after its own have passed.
    if at.current <= target:
        return <uint32_t>(left - divide(<uint64_t>(target - at.current) * rule.window_ms, at.previous))
    left += rule.window_ms - divide(<uint64_t>target * rule.window_ms, at.current)
    return <uint32_t>left if left <= UINT32_MAX else UINT32_MAX


# cost: of a hit that is over; nothing remains for it.
cdef inline void pair_view_over(const window_rule *rule, const window_pair *at, uint32_t cost, window_view *out) noexcept nogil:
    out.used = at.used
    out.remaining = 0
    out.reset_after_ms = pair_fits_after(rule, at, cost)
    out.over = 1


# Wants used <= limit.
cdef inline void pair_view(const window_rule *rule, const window_pair *at, window_view *out) noexcept nogil:
    out.used = at.used
    out.remaining = rule.limit - at.used
    out.reset_after_ms = pair_empty_after(rule, at)
    out.over = 0
