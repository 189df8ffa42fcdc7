"""What a call of the rate limit service comes to.

Which limits apply to which descriptor -> which of them replace others -> keys and rates -> one turn at the table -> a status for each descriptor.
"""
from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ratelimitd._ext.check cimport check_finish, check_no_policy
from ratelimitd._ext.core cimport (
    RL_APPLIES_LIMIT,
    RL_APPLIES_NOTHING,
    RL_APPLIES_UNLIMITED,
    RL_DENY,
    RL_MAX_DESCRIPTORS,
    RL_REASON_OVER_LIMIT,
    RL_REASON_OVERLOAD,
    RL_REASON_STORE_LOST,
    rl_count,
    rl_descriptor,
    rl_descriptor_answer,
    rl_descriptor_call,
    rl_descriptor_status,
    rl_limit_state,
    rl_request,
    rl_verdict,
    rl_view,
)
from ratelimitd._ext.keying cimport key_identify
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.refund cimport refund
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, table_hit
from ratelimitd._ext.limit.window cimport WINDOW_FIXED, WINDOW_LONG, window_length, window_rule
from ratelimitd._ext.limits cimport limits_begin_state, limits_charge
from ratelimitd._ext.match.attributes cimport rl_attributes_reset
from ratelimitd._ext.match.matcher cimport rl_matcher_run
from ratelimitd._ext.snapshot cimport SNAPSHOT_MAX_KEY_PARTS, snapshot_domain, snapshot_find, snapshot_limit
from ratelimitd._ext.verdict cimport verdict_begin, verdict_deny
from ratelimitd._ext.worker cimport COUNT_NEAR, COUNT_OVER_LIMIT, COUNT_SHADOW, COUNT_STORE_LOST, LIMIT_NONE, check_clock, check_secret, check_shared, check_worker, worker_count


# A call on its way. Hits that are charged stand at the front of a worker's array, those that are given back at its end. States, and the ids of their limits, stand in the order of their descriptors.
cdef struct course:
    const rl_descriptor_call *call
    const snapshot_domain *domain
    rl_descriptor_answer *answer
    rl_verdict *verdict
    uint32_t states
    uint32_t hits
    uint32_t refunds
    uint8_t owner[TABLE_MAX_HITS]                  # the descriptor of a state
    uint32_t state_hit[TABLE_MAX_HITS]             # the hit of a state; TABLE_MAX_HITS: none, it is unlimited
    window_rule brought[TABLE_MAX_HITS]            # rules that descriptors bring along, by state


cdef void rate_limit(
    void *shared, uint32_t worker, int64_t now_ns, const rl_descriptor_call *call, rl_descriptor_answer *answer, rl_verdict *verdict
) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef const snapshot_domain *domain
    cdef course way
    cdef rl_request request
    verdict_begin(verdict)
    answer.over = 0
    answer.metadata_count = 0
    answer.count = call.count
    memset(&answer.statuses[0], 0, call.count * sizeof(rl_descriptor_status))
    if mine.pinned == NULL or mine.broken:
        verdict_deny(verdict, RL_REASON_OVERLOAD, 503)
        rl_count(&mine.totals.overload, 1)
        return
    domain = snapshot_find(mine.pinned, call.domain)
    if domain == NULL:
        check_no_policy(mine, verdict)
        answer.over = verdict.decision == RL_DENY
        return
    verdict.domain = domain.name
    verdict.header_families = domain.headers
    mine.watched_list.size = 0
    mine.watched_penalty = -1
    way.call = call
    way.domain = domain
    way.answer = answer
    way.verdict = verdict
    way.states = way.hits = way.refunds = 0
    _find(mine, &way)
    if domain.replaces:
        _replace(mine, &way)
    _begin(self, mine, &way)
    verdict.state_count = <uint16_t>way.states
    if way.hits:
        limits_charge(self, mine, domain, way.hits, False, now_ns)
    _refund(self, mine, &way, now_ns)
    _judge(self, mine, &way, now_ns)
    _request_of(&way, way.owner[max(verdict.tightest_state, 0)] if way.states else 0, &request)
    rl_attributes_reset(mine.attributes, &request, &domain.client)
    check_finish(self, mine, domain, now_ns, &request, verdict)


cdef inline void _request_of(const course *way, uint32_t descriptor, rl_request *out) noexcept nogil:
    """What a descriptor says, as a request that has attributes and perhaps an address."""
    cdef const rl_descriptor *asked = &way.call.descriptors[descriptor]
    memset(out, 0, sizeof(rl_request))
    out.domain = way.call.domain
    out.attributes = asked.attributes
    out.attribute_count = asked.attribute_count
    out.source_address = asked.address
    out.cost = asked.hits


cdef void _find(check_worker *mine, course *way) noexcept nogil:
    """Which limits apply. What a descriptor brings along stands alone."""
    cdef uint32_t found[TABLE_MAX_HITS]
    cdef rl_request request
    cdef uint32_t at, index, count
    for at in range(way.call.count):
        if way.call.descriptors[at].window_ms:
            _add(mine, way, at, LIMIT_NONE)
            continue
        if way.domain.limit_count == 0:
            continue
        _request_of(way, at, &request)
        rl_attributes_reset(mine.attributes, &request, &way.domain.client)
        count = rl_matcher_run(way.domain.limit_matcher, mine.match_scratch, mine.attributes, found, TABLE_MAX_HITS)
        for index in range(min(count, <uint32_t>TABLE_MAX_HITS)):
            if not way.domain.limits[found[index]].by_score:
                _add(mine, way, at, found[index])
        if count > TABLE_MAX_HITS:
            rl_count(&mine.totals.limits_truncated, 1)


cdef inline void _add(check_worker *mine, course *way, uint32_t descriptor, uint32_t id) noexcept nogil:
    if way.states == TABLE_MAX_HITS:
        rl_count(&mine.totals.limits_truncated, 1)
        return
    mine.ids[way.states] = id
    way.owner[way.states] = <uint8_t>descriptor
    way.states += 1


cdef void _replace(check_worker *mine, course *way) noexcept nogil:
    """Drops the limits that others replace, also those that are replaced themselves; unlimited ones stay."""
    cdef uint32_t at, other, index, kept = 0
    cdef const snapshot_limit *limit
    cdef uint64_t dropped = 0
    for at in range(way.states):
        if mine.ids[at] == LIMIT_NONE:
            continue
        limit = &way.domain.limits[mine.ids[at]]
        for index in range(limit.replaces_count):
            for other in range(way.states):
                if mine.ids[other] == limit.replaces[index] and not way.domain.limits[mine.ids[other]].rate.unlimited:
                    dropped |= <uint64_t>1 << other
    for at in range(way.states):
        if dropped >> at & 1:
            continue
        mine.ids[kept] = mine.ids[at]
        way.owner[kept] = way.owner[at]
        kept += 1
    way.states = kept


cdef void _begin(check_shared *self, check_worker *mine, course *way) noexcept nogil:
    """A state for each, and a hit unless it is unlimited. A limit whose key has no value, and that skips then, goes."""
    cdef rl_request request
    cdef uint32_t at, id, hit, kept = 0
    cdef int ready = -1
    cdef bint applies, given_back
    for at in range(way.states):
        id = mine.ids[at]
        given_back = way.call.descriptors[way.owner[at]].refund
        hit = TABLE_MAX_HITS - 1 - way.refunds if given_back else way.hits
        if id == LIMIT_NONE:
            _bring(self, mine, way, kept, way.owner[at], hit)
            applies = True
        else:
            if ready != way.owner[at]:
                ready = way.owner[at]
                _request_of(way, <uint32_t>ready, &request)
                rl_attributes_reset(mine.attributes, &request, &way.domain.client)
            applies = limits_begin_state(self, mine, way.domain, id, request.cost, way.verdict, kept, hit)
        if not applies:
            continue
        mine.ids[kept] = id
        way.owner[kept] = way.owner[at]
        way.state_hit[kept] = TABLE_MAX_HITS
        if not way.verdict.states[kept].unlimited:
            way.state_hit[kept] = hit
            mine.hit_of[hit] = <uint8_t>kept
            if given_back:
                way.refunds += 1
            else:
                way.hits += 1
        kept += 1
    way.states = kept


cdef void _refund(check_shared *self, check_worker *mine, const course *way, int64_t now_ns) noexcept nogil:
    cdef uint32_t index
    for index in range(way.refunds):
        refund(self.table, &mine.hits[TABLE_MAX_HITS - 1 - index], check_clock(self, now_ns))


cdef void _bring(check_shared *self, check_worker *mine, course *way, uint32_t state, uint32_t descriptor, uint32_t at) noexcept nogil:
    """The limit that a descriptor brings along: a fixed window for its entries, never in the shadow."""
    cdef const rl_descriptor *asked = &way.call.descriptors[descriptor]
    cdef rl_limit_state *out = &way.verdict.states[state]
    cdef window_rule *rule = &way.brought[state]
    cdef table_hit *hit = &mine.hits[at]
    memset(out, 0, sizeof(rl_limit_state))
    out.name.data = "(descriptor)"
    out.name.size = 12
    out.limit = out.remaining = asked.limit
    out.window_ms = <uint32_t>min(asked.window_ms, <uint64_t>UINT32_MAX)
    rule.limit = asked.limit
    rule.algorithm = WINDOW_FIXED
    rule.buckets = 1 if asked.window_ms <= UINT32_MAX else WINDOW_LONG
    rule.window_ms = <uint32_t>(asked.window_ms // rule.buckets)
    _identify(self, way.domain, asked, &hit.digest)
    hit.rule = rule
    hit.cost = asked.hits
    hit.slot = way.domain.slot
    hit.shadow = hit.consistency = hit.on_loss = 0


cdef void _identify(check_shared *self, const snapshot_domain *domain, const rl_descriptor *asked, key_digest *out) noexcept nogil:
    """Of domain, window (a year's low half is nobody else's), keys and values: a few at a time, each lot under the digest of those before."""
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef uint8_t identity[16]
    cdef uint32_t index, count = 1
    memcpy(identity, domain.identity, 16)
    parts[0].data = <const char *>&asked.window_ms
    parts[0].size = 4
    for index in range(asked.attribute_count):
        if count == SNAPSHOT_MAX_KEY_PARTS:
            key_identify(check_secret(self), identity, parts, count, out)
            memcpy(identity, out, 16)
            count = 0
        parts[count] = asked.attributes[index].value
        count += 1
    key_identify(check_secret(self), identity, parts, count, out)


# ---- what came of it

cdef void _judge(check_shared *self, check_worker *mine, course *way, int64_t now_ns) noexcept nogil:
    cdef int64_t now_ms = check_clock(self, now_ns)
    cdef rl_verdict *verdict = way.verdict
    cdef const snapshot_limit *limit
    cdef rl_limit_state *state
    cdef uint32_t at, quotas = 0, used_up = 0
    cdef bint watched
    for at in range(way.states):
        state = &verdict.states[at]
        limit = &way.domain.limits[mine.ids[at]] if mine.ids[at] != LIMIT_NONE else NULL
        if way.state_hit[at] < TABLE_MAX_HITS:
            _see(mine, state, way.state_hit[at])
        watched = state.shadow or way.domain.answer_shadow
        if limit != NULL and limit.quota:
            quotas += 1
            if state.over and not state.shadow:
                used_up += 1
            watched = True
        if state.over and watched:
            verdict.shadow_denied = 1
        elif state.over:
            _object(verdict, at)
        elif not state.shadow and not state.unlimited:
            _compare(verdict, at)
        if limit != NULL:
            if state.over:
                worker_count(mine, limit.slot, COUNT_SHADOW if watched else COUNT_STORE_LOST if state.lost else COUNT_OVER_LIMIT)
            elif not state.unlimited and state.remaining * 5 <= state.limit:
                worker_count(mine, limit.slot, COUNT_NEAR)
        _tell(way, at, limit, now_ms)
    _add_metadata(mine, way)
    if quotas and used_up == quotas and not way.domain.answer_shadow:
        _object_all_quotas(mine, way)
    if verdict.deciding_state < 0:
        return
    way.answer.over = 1
    limit = &way.domain.limits[mine.ids[verdict.deciding_state]] if mine.ids[verdict.deciding_state] != LIMIT_NONE else NULL
    if verdict.states[verdict.deciding_state].lost:
        verdict_deny(verdict, RL_REASON_STORE_LOST, 503)
    else:
        verdict_deny(verdict, RL_REASON_OVER_LIMIT, limit.status if limit != NULL else 429)
    verdict.tightest_state = verdict.deciding_state
    verdict.retry_after_s = max(<uint32_t>1, way.answer.statuses[way.owner[verdict.deciding_state]].reset_s)


cdef inline void _see(const check_worker *mine, rl_limit_state *state, uint32_t hit) noexcept nogil:
    state.over = mine.hits[hit].view.over
    state.lost = mine.hits[hit].lost
    state.remaining = 0 if state.over else mine.hits[hit].view.remaining
    state.reset_after_ms = mine.hits[hit].view.reset_after_ms


cdef inline void _object(rl_verdict *verdict, uint32_t at) noexcept nogil:
    """The one that takes longest to relent decides."""
    if verdict.deciding_state < 0 or verdict.states[at].reset_after_ms > verdict.states[verdict.deciding_state].reset_after_ms:
        verdict.deciding_state = <short>at


cdef void _object_all_quotas(const check_worker *mine, course *way) noexcept nogil:
    """A quota that is used up only says so, until there is none left that is not."""
    cdef uint32_t at
    for at in range(way.states):
        if mine.ids[at] != LIMIT_NONE and way.domain.limits[mine.ids[at]].quota and way.verdict.states[at].over and not way.verdict.states[at].shadow:
            _object(way.verdict, at)


cdef inline void _compare(rl_verdict *verdict, uint32_t at) noexcept nogil:
    """The fewest hits left: what envoyproxy/ratelimit shows in its headers."""
    if verdict.tightest_state < 0 or verdict.states[at].remaining < verdict.states[verdict.tightest_state].remaining:
        verdict.tightest_state = <short>at


cdef inline int _rank(const rl_limit_state *state) noexcept nogil:
    """What of several limits of a descriptor is told."""
    if state.unlimited:
        return 1
    if state.shadow:
        return 2
    return 4 if state.over else 3


cdef void _tell(course *way, uint32_t at, const snapshot_limit *limit, int64_t now_ms) noexcept nogil:
    """Puts a state into the status of its descriptor, unless another one says more."""
    cdef const rl_limit_state *state = &way.verdict.states[at]
    cdef rl_descriptor_status *out = &way.answer.statuses[way.owner[at]]
    cdef uint32_t before = at
    while before > 0 and way.owner[before - 1] == way.owner[at]:    # there are few
        before -= 1
        if _rank(&way.verdict.states[before]) > _rank(state):
            return
        if _rank(&way.verdict.states[before]) == _rank(state) and way.verdict.states[before].remaining <= state.remaining:
            return
    out.applies = RL_APPLIES_UNLIMITED if state.unlimited else RL_APPLIES_LIMIT
    out.over = state.over and not state.shadow
    out.name.size = 0
    if limit != NULL:
        out.name = limit.answer_name
    out.limit = state.limit
    out.remaining = state.remaining
    out.window_ms = state.window_ms
    if state.unlimited:
        return
    if state.window_ms == UINT32_MAX:
        out.window_ms = window_length(&limit.rate.rule) if limit != NULL else way.call.descriptors[way.owner[at]].window_ms
    if limit == NULL or limit.rate.rule.algorithm == WINDOW_FIXED:
        out.reset_s = <uint32_t>((out.window_ms - <uint64_t>now_ms % out.window_ms + 999) // 1000)
    else:
        out.reset_s = <uint32_t>((<uint64_t>state.reset_after_ms + 999) // 1000)


cdef void _add_metadata(const check_worker *mine, course *way) noexcept nogil:
    """Of limits in quota mode that are not used up. The first counts most, so it comes last."""
    cdef rl_descriptor_answer *answer = way.answer
    cdef const snapshot_limit *limit
    cdef uint32_t at = way.states
    while at > 0:
        at -= 1
        if mine.ids[at] == LIMIT_NONE or answer.metadata_count == RL_MAX_DESCRIPTORS:
            continue
        limit = &way.domain.limits[mine.ids[at]]
        if limit.quota and limit.metadata.size and not way.verdict.states[at].over:
            answer.metadata[answer.metadata_count] = limit.metadata
            answer.metadata_count += 1
