# Sliding windows are buckets of window_ms / buckets; the window covers `buckets` of them: the current one, the full ones before it
# and the part of the oldest that it still overlaps, weighted by the overlap (Cloudflare, "How we built rate limiting capable of
# scaling to millions of domains", 2017, has one bucket to a window). Time is counted in ticks of 1/buckets ms, so that a bucket
# is exactly window_ms ticks and every division is exact.
#
# The token bucket is GCRA (ITU-T I.371): a hit adds window_ms to a backlog, a millisecond takes `limit` away. That is its
# theoretical arrival time in units in which both steps are whole numbers: no rate drifts.

from libc.stdint cimport UINT32_MAX, int32_t
from libc.string cimport memset


cdef enum:
    COUNTS = 1            # first count in a state
    RING = 9              # counts at most: 8 buckets and the partial oldest


# A counter brought to `now`.
cdef struct ring:
    uint64_t index        # number of the bucket of counts[0]
    uint64_t length       # of a bucket, in ticks
    uint64_t offset       # ticks that have passed of it: less than length
    uint32_t buckets
    uint32_t size         # counts in use
    uint32_t counts[RING]


cdef struct backlog:
    uint64_t amount       # hits x window_ms
    int64_t since         # it drains from here on: now, or later when the clock stepped back


cdef inline uint64_t ceil_div(uint64_t a, uint64_t b) noexcept nogil:
    return a // b + (a % b != 0)


cdef inline uint32_t add_saturated(uint32_t a, uint64_t b) noexcept nogil:
    return UINT32_MAX if b > UINT32_MAX - a else a + <uint32_t>b


cdef inline uint32_t to_reset(uint64_t until_ms, int64_t now_ms) noexcept nogil:
    cdef uint64_t now = <uint64_t>now_ms
    return 0 if until_ms <= now else UINT32_MAX if until_ms - now > UINT32_MAX else <uint32_t>(until_ms - now)


cdef inline uint64_t to_ms(uint64_t ticks, uint32_t buckets) noexcept nogil:
    return ticks if buckets == 1 else ceil_div(ticks, buckets)


cdef inline void ring_read(const window_rule *rule, const window_state *state, int64_t now_ms, ring *out) noexcept nogil:
    cdef uint32_t k
    cdef uint64_t ticks, total
    cdef int32_t ahead
    out.buckets = rule.buckets if rule.algorithm == WINDOW_SLIDING else 1
    out.size = out.buckets + 1 if rule.algorithm == WINDOW_SLIDING else 1
    out.length = window_length(rule)
    ticks = <uint64_t>now_ms * out.buckets
    out.index = ticks // out.length
    out.offset = ticks - out.index * out.length
    # Only the low half of a bucket's number is kept. A counter that slept for 2**31 buckets looks like one from the future:
    # its count is kept for a window more, never lost.
    ahead = <int32_t>(<uint32_t>out.index - state.words[0])
    if ahead == 0:
        for k in range(out.size):
            out.counts[k] = state.words[COUNTS + k]
    elif ahead > 0:
        for k in range(out.size):
            out.counts[k] = state.words[COUNTS + k - ahead] if k >= <uint32_t>ahead else 0
    elif -<int64_t>ahead <= out.buckets:
        out.index += <uint64_t>(-<int64_t>ahead)
        out.offset = 0
        for k in range(out.size):
            out.counts[k] = state.words[COUNTS + k]
    else:
        total = 0
        for k in range(out.size):
            total += state.words[COUNTS + k]
            out.counts[k] = 0
        out.counts[0] = add_saturated(0, total)


cdef inline uint64_t ring_used(const window_rule *rule, const ring *at) noexcept nogil:
    cdef uint32_t k
    cdef uint64_t used = at.counts[0], part
    if at.size == 1:
        return used
    for k in range(1, at.buckets):
        used += at.counts[k]
    part = at.counts[at.buckets]
    return used + ceil_div(part * (rule.window_ms - at.offset), rule.window_ms) if part else used


cdef inline uint64_t ring_empty_at(const window_rule *rule, const ring *at) noexcept nogil:
    """When the newest hit leaves the window, in ms; 0 when there is none."""
    cdef uint32_t k
    for k in range(at.size):
        if at.counts[k]:
            return to_ms((at.index + at.size - k) * at.length, at.buckets)
    return 0


cdef inline uint64_t ring_falls_to(const window_rule *rule, const ring *at, uint64_t target) noexcept nogil:
    """The first ms at which used <= target if nothing comes; used is above it now."""
    cdef uint64_t full = 0, part, room, offset, later = 0
    cdef uint32_t k
    if at.size == 1:
        return (at.index + 1) * at.length
    for k in range(at.buckets):
        full += at.counts[k]
    while full > target:      # `later` buckets on, the oldest full one has become the partial one
        later += 1
        full -= at.counts[at.buckets - later]
    part = at.counts[at.buckets - later]
    room = target - full
    # part * (window_ms - offset) / window_ms <= room
    offset = 0 if part <= room else rule.window_ms - room * rule.window_ms // part
    return to_ms((at.index + later) * rule.window_ms + offset, at.buckets)


cdef inline void ring_view(const window_rule *rule, const ring *at, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil:
    out.used = ring_used(rule, at)
    out.remaining = rule.limit - out.used if rule.limit > out.used else 0
    out.over = out.used + cost > rule.limit
    if not out.over:
        out.reset_after_ms = to_reset(ring_empty_at(rule, at), now_ms)
    elif cost > rule.limit:
        out.reset_after_ms = <uint32_t>min(at.length, <uint64_t>UINT32_MAX)
    else:
        out.reset_after_ms = to_reset(ring_falls_to(rule, at, rule.limit - cost), now_ms)


cdef inline void ring_write(const ring *at, window_state *state) noexcept nogil:
    cdef uint32_t k
    state.words[0] = <uint32_t>at.index
    for k in range(at.size):
        state.words[COUNTS + k] = at.counts[k]


cdef inline uint64_t word_pair(const window_state *state, int at) noexcept nogil:
    return state.words[at] | <uint64_t>state.words[at + 1] << 32


cdef inline void set_word_pair(window_state *state, int at, uint64_t value) noexcept nogil:
    state.words[at] = <uint32_t>value
    state.words[at + 1] = <uint32_t>(value >> 32)


cdef inline uint32_t drain_rate(uint32_t limit) noexcept nogil:
    """Backlog that a millisecond takes away. A ban drains like a limit of one, so that a lifted ban starts from somewhere."""
    return limit if limit else 1


cdef inline void backlog_read(const window_state *state, int64_t now_ms, uint32_t window_ms, uint32_t rate, backlog *at) noexcept nogil:
    """Brings at.amount to now_ms."""
    cdef int64_t since = <int64_t>word_pair(state, 2)
    cdef uint64_t amount = at.amount, passed
    if now_ms < since:
        at.since = since if since - now_ms <= window_ms else now_ms
        return
    passed = <uint64_t>(now_ms - since)
    if passed <= UINT32_MAX:
        at.amount = amount - passed * rate if passed * rate < amount else 0
    else:
        at.amount = amount - passed * rate if passed <= amount // rate else 0
    at.since = now_ms


cdef void backlog_adopt(const window_rule *rule, const window_state *state, backlog *at) noexcept nogil:
    """The hits of another rate in units of this one, rounded up; at most a full burst, which a window drains. A ban keeps them all."""
    cdef uint32_t was_ms = state.words[5]
    cdef uint64_t hits = at.amount // was_ms, full = <uint64_t>rule.limit * rule.window_ms
    at.amount = hits * rule.window_ms + ceil_div((at.amount - hits * was_ms) * rule.window_ms, was_ms)
    if rule.limit and at.amount > full:
        at.amount = full


cdef inline void backlog_now(const window_rule *rule, const window_state *state, int64_t now_ms, backlog *at) noexcept nogil:
    at.amount = word_pair(state, 0)
    if at.amount and (state.words[4] != rule.limit or state.words[5] != rule.window_ms):
        backlog_adopt(rule, state, at)
    backlog_read(state, now_ms, rule.window_ms, drain_rate(rule.limit), at)


cdef inline void backlog_then(const window_state *state, int64_t now_ms, backlog *at) noexcept nogil:
    """Under the rate of the last charge."""
    at.amount = word_pair(state, 0)
    backlog_read(state, now_ms, state.words[5], drain_rate(state.words[4]), at)


cdef inline void backlog_add(const window_rule *rule, backlog *at, uint64_t hits) noexcept nogil:
    cdef uint64_t most = <uint64_t>UINT32_MAX * rule.window_ms
    cdef uint64_t more = (hits if hits < UINT32_MAX else UINT32_MAX) * rule.window_ms
    at.amount = most if at.amount > most - more else at.amount + more


cdef inline void backlog_view(const window_rule *rule, const backlog *at, int64_t now_ms, uint32_t cost,
                              window_view *out) noexcept nogil:
    cdef uint64_t excess = at.amount
    out.used = ceil_div(at.amount, rule.window_ms)
    out.remaining = rule.limit - out.used if rule.limit > out.used else 0
    out.over = out.used + cost > rule.limit
    if out.over and cost > rule.limit:
        out.reset_after_ms = rule.window_ms
        return
    if out.over:
        excess -= <uint64_t>(rule.limit - cost) * rule.window_ms
    out.reset_after_ms = to_reset(at.since + ceil_div(excess, drain_rate(rule.limit)), now_ms) if excess else 0


cdef inline void backlog_write(const window_rule *rule, const backlog *at, window_state *state) noexcept nogil:
    set_word_pair(state, 0, at.amount)
    set_word_pair(state, 2, <uint64_t>at.since)
    state.words[4] = rule.limit
    state.words[5] = rule.window_ms


cdef void window_peek(const window_rule *rule, const window_state *state, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil:
    cdef ring at
    cdef backlog behind
    now_ms = window_clock(now_ms)
    if rule.algorithm == WINDOW_BUCKET:
        backlog_now(rule, state, now_ms, &behind)
        backlog_view(rule, &behind, now_ms, cost, out)
    else:
        ring_read(rule, state, now_ms, &at)
        ring_view(rule, &at, now_ms, cost, out)


cdef void window_charge(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t cost) noexcept nogil:
    cdef window_view unused
    window_take(rule, state, now_ms, cost, &unused)


cdef void window_take(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t cost, window_view *out) noexcept nogil:
    cdef ring at
    cdef backlog behind
    now_ms = window_clock(now_ms)
    if rule.algorithm == WINDOW_BUCKET:
        backlog_now(rule, state, now_ms, &behind)
        backlog_add(rule, &behind, cost)
        backlog_write(rule, &behind, state)
        backlog_view(rule, &behind, now_ms, 0, out)
    else:
        ring_read(rule, state, now_ms, &at)
        at.counts[0] = add_saturated(at.counts[0], cost)
        ring_write(&at, state)
        ring_view(rule, &at, now_ms, 0, out)


cdef inline uint32_t take_own(uint32_t *own, uint32_t hits) noexcept nogil:
    """As many of the hits as there are."""
    cdef uint32_t taken = min(hits, own[0])
    own[0] -= taken
    return taken


cdef uint32_t refund_backlog(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t hits, uint32_t *own) noexcept nogil:
    cdef backlog behind
    backlog_now(rule, state, now_ms, &behind)
    hits = <uint32_t>min(<uint64_t>hits, ceil_div(behind.amount, rule.window_ms))
    if own != NULL:
        hits = min(hits, add_saturated(own[0], own[1]))
        take_own(&own[1], hits - take_own(&own[0], hits))
    behind.amount -= min(behind.amount, <uint64_t>hits * rule.window_ms)
    backlog_write(rule, &behind, state)
    return hits


cdef uint32_t window_refund(const window_rule *rule, window_state *state, int64_t now_ms, uint32_t hits, uint32_t *own, uint32_t number) noexcept nogil:
    cdef ring at
    cdef uint32_t k, taken, left = hits
    now_ms = window_clock(now_ms)
    if rule.algorithm == WINDOW_BUCKET:
        return refund_backlog(rule, state, now_ms, hits, own)
    ring_read(rule, state, now_ms, &at)
    if own != NULL and number != <uint32_t>at.index:
        return 0                  # the clock stepped back
    for k in range(at.size):
        taken = min(left, at.counts[k])
        if own != NULL:
            taken = take_own(&own[k], taken)
        at.counts[k] -= taken
        left -= taken
    ring_write(&at, state)
    return hits - left


cdef void window_init(const window_rule *rule, window_state *state, int64_t now_ms, uint64_t used) noexcept nogil:
    cdef backlog behind
    now_ms = window_clock(now_ms)
    memset(state, 0, sizeof(window_state))
    if rule.algorithm == WINDOW_BUCKET:
        behind.amount = 0
        behind.since = now_ms
        backlog_add(rule, &behind, rule.limit if used > rule.limit and rule.limit else used)
        backlog_write(rule, &behind, state)
        return
    state.words[0] = window_number(rule, now_ms)
    state.words[COUNTS] = add_saturated(0, used)


cdef void window_clear(const window_rule *rule, window_state *state) noexcept nogil:
    cdef int k
    if rule.algorithm == WINDOW_BUCKET:
        set_word_pair(state, 0, 0)
        return
    for k in range(COUNTS, 10):
        state.words[k] = 0


cdef int64_t window_expires(const window_rule *rule, const window_state *state, int64_t now_ms) noexcept nogil:
    cdef ring at
    cdef backlog behind
    now_ms = window_clock(now_ms)
    if rule.algorithm == WINDOW_BUCKET:
        backlog_then(state, now_ms, &behind)
        return behind.since + <int64_t>ceil_div(behind.amount, drain_rate(state.words[4])) if behind.amount else 0
    ring_read(rule, state, now_ms, &at)
    return <int64_t>ring_empty_at(rule, &at)


cdef uint64_t window_used(const window_rule *rule, const window_state *state, int64_t now_ms) noexcept nogil:
    cdef ring at
    cdef backlog behind
    now_ms = window_clock(now_ms)
    if rule.algorithm == WINDOW_BUCKET:
        backlog_then(state, now_ms, &behind)
        return ceil_div(behind.amount, state.words[5])
    ring_read(rule, state, now_ms, &at)
    return ring_used(rule, &at)
