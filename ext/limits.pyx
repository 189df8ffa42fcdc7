from libc.stdint cimport UINT32_MAX, int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport RL_ALLOW, RL_REASON_OVER_LIMIT, RL_REASON_PARTIAL_BODY, RL_REASON_SCAN, RL_REASON_STORE_LOST, rl_count, rl_limit_state, rl_request, rl_verdict, rl_view
from ratelimitd._ext.keying cimport KEY_TEXT_MAX, key_digest_of, key_join, key_parts, key_rate
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, table_charge, table_count, table_decide, table_hit
from ratelimitd._ext.limit.window cimport window_length
from ratelimitd._ext.match.attributes cimport rl_attributes_client
from ratelimitd._ext.match.matcher cimport rl_matcher_run
from ratelimitd._ext.snapshot cimport SNAPSHOT_MAX_KEY_PARTS, snapshot_domain, snapshot_limit, snapshot_rate
from ratelimitd._ext.verdict cimport verdict_deny
from ratelimitd._ext.worker cimport COUNT_NEAR, COUNT_OVER_LIMIT, COUNT_SHADOW, COUNT_STORE_LOST, check_clock, check_secret, check_shared, check_worker, worker_count


# Hits that a check charges stand at the front of a worker's array, those by score at its end, so that each lot is decided as one.

cdef void limits_decide(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t hits = _begin_states(self, mine, domain, request, verdict)
    cdef uint32_t scored = <uint32_t>TABLE_MAX_HITS - mine.by_score
    cdef int64_t now_ms = check_clock(self, now_ns)
    cdef bint over = False
    cdef uint32_t index
    if mine.by_score:
        over = table_decide(self.table, &mine.hits[scored], mine.by_score, True, True, now_ms) >= 0
    if hits:
        over |= limits_charge(self, mine, domain, hits, request.dry_run or over and domain.all_or_none, now_ns)
    for index in range(TABLE_MAX_HITS):
        if index < hits or index >= scored:
            _end_state(mine, domain, index, verdict)
    if over:
        _deny_over_limit(mine, domain, verdict)


cdef bint limits_charge(check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t hits, bint dry, int64_t now_ns) noexcept nogil:
    cdef int64_t now_ms = check_clock(self, now_ns)
    if domain.always and not dry:
        return table_count(self.table, mine.hits, hits, now_ms) >= 0
    return table_decide(self.table, mine.hits, hits, domain.all_or_none, dry, now_ms) >= 0


cdef uint32_t _begin_states(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    """A state for each limit that applies and, unless it is unlimited, a hit. Returns how many hits stand at the front."""
    cdef uint32_t held = rl_matcher_run(domain.limit_matcher, mine.match_scratch, mine.attributes, mine.ids, TABLE_MAX_HITS)
    cdef uint32_t index, hit, states = 0, hits = 0
    cdef bint by_score, surcharge = False
    if held > TABLE_MAX_HITS:
        rl_count(&mine.totals.limits_truncated, 1)
        held = TABLE_MAX_HITS
    for index in range(held):
        by_score = domain.limits[mine.ids[index]].by_score
        hit = <uint32_t>TABLE_MAX_HITS - 1 - mine.by_score if by_score else hits
        if not limits_begin_state(self, mine, domain, mine.ids[index], request.cost, verdict, states, hit):
            continue
        if not verdict.states[states].unlimited:
            mine.hit_of[hit] = <uint8_t>states
            if by_score:
                mine.by_score += 1
            else:
                hits += 1
                surcharge |= domain.limits[mine.ids[index]].score_cost != 0
        mine.ids[states] = mine.ids[index]
        states += 1
    verdict.state_count = <uint16_t>states
    mine.surcharged = hits if surcharge else 0
    return hits


cdef bint limits_begin_state(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, uint32_t cost, rl_verdict *verdict, uint32_t at, uint32_t hit
) noexcept nogil:
    cdef const snapshot_limit *limit = &domain.limits[id]
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef char joined[KEY_TEXT_MAX]
    cdef rl_address client
    cdef rl_address *known = NULL
    cdef const snapshot_rate *rate = &limit.rate
    cdef rl_limit_state *state = &verdict.states[at]
    cdef table_hit *out = &mine.hits[hit]
    cdef uint64_t charge
    if not key_parts(mine, domain, id, parts):
        return False
    if limit.overrides != NULL:
        if rl_attributes_client(mine.attributes, &client):
            known = &client
        rate = key_rate(limit, key_join(parts, limit.key_count, joined), known)
    mine.rates[at] = rate
    state.name = limit.name
    state.policy_item = rate.policy_item
    state.limit = rate.rule.limit
    state.remaining = rate.rule.limit
    state.window_ms = <uint32_t>min(window_length(&rate.rule), <uint64_t>UINT32_MAX)
    state.reset_after_ms = 0
    state.over = 0
    state.lost = 0
    state.shadow = limit.shadow
    state.unlimited = rate.unlimited
    if rate.unlimited:
        return True
    key_digest_of(check_secret(self), limit, parts, &out.digest)
    charge = <uint64_t>min(cost, <uint32_t>1) if limit.by_score else <uint64_t>cost * limit.cost
    out.rule = &rate.rule
    out.cost = <uint32_t>min(charge, <uint64_t>0xFFFFFFFF)
    out.slot = limit.slot
    out.shadow = limit.shadow
    out.consistency = limit.consistency
    out.on_loss = limit.on_loss
    return True


cdef void _end_state(check_worker *mine, const snapshot_domain *domain, uint32_t hit, rl_verdict *verdict) noexcept nogil:
    """Copies what the table saw, and counts it."""
    cdef rl_limit_state *state = &verdict.states[mine.hit_of[hit]]
    cdef uint32_t slot = domain.limits[mine.ids[mine.hit_of[hit]]].slot
    state.over = mine.hits[hit].view.over
    state.lost = mine.hits[hit].lost
    if state.over and state.shadow:
        verdict.shadow_denied = 1
        worker_count(mine, slot, COUNT_SHADOW)
    elif mine.hits[hit].view.remaining * 5 <= state.limit:
        worker_count(mine, slot, COUNT_NEAR)
    _show(mine, hit, verdict)


cdef void _show(check_worker *mine, uint32_t hit, rl_verdict *verdict) noexcept nogil:
    """What is left, and whether this enforced limit is now the tightest."""
    cdef uint32_t at = mine.hit_of[hit]
    cdef rl_limit_state *state = &verdict.states[at]
    cdef rl_limit_state *tightest
    state.remaining = mine.hits[hit].view.remaining
    state.reset_after_ms = mine.hits[hit].view.reset_after_ms
    if state.shadow:
        return
    if verdict.tightest_state < 0:
        verdict.tightest_state = <int16_t>at
        return
    # remaining / limit compared without a division; both fit 32 bits.
    tightest = &verdict.states[verdict.tightest_state]
    if state.remaining * tightest.limit < tightest.remaining * state.limit:
        verdict.tightest_state = <int16_t>at


cdef void _deny_over_limit(check_worker *mine, const snapshot_domain *domain, rl_verdict *verdict) noexcept nogil:
    """Of the limits that object, the one that takes longest to relent decides: a retry before it would fail again. Those that object for
    want of the store come after all others."""
    cdef uint32_t at
    cdef int lost = -1
    cdef const snapshot_limit *limit
    cdef rl_limit_state *state
    for at in range(verdict.state_count):
        state = &verdict.states[at]
        if not state.over or state.shadow:
            continue
        if state.lost:
            lost = at
        elif verdict.deciding_state < 0 or state.reset_after_ms > verdict.states[verdict.deciding_state].reset_after_ms:
            verdict.deciding_state = <int16_t>at
    if verdict.deciding_state < 0:
        _deny_lost(mine, domain, <int16_t>lost, verdict)
        return
    limit = &domain.limits[mine.ids[verdict.deciding_state]]
    verdict_deny(verdict, RL_REASON_OVER_LIMIT, limit.status)
    verdict.tightest_state = verdict.deciding_state
    verdict.retry_after_s = max(<uint32_t>1, (verdict.states[verdict.deciding_state].reset_after_ms + 999) // 1000)
    worker_count(mine, limit.slot, COUNT_OVER_LIMIT)


cdef void _deny_lost(check_worker *mine, const snapshot_domain *domain, int16_t at, rl_verdict *verdict) noexcept nogil:
    verdict.deciding_state = verdict.tightest_state = at
    verdict_deny(verdict, RL_REASON_STORE_LOST, 503)
    verdict.retry_after_s = (verdict.states[at].reset_after_ms + 999) // 1000
    worker_count(mine, domain.limits[mine.ids[at]].slot, COUNT_STORE_LOST)


cdef void limits_charge_score(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t first = <uint32_t>TABLE_MAX_HITS - mine.by_score
    cdef uint32_t hit
    if request.dry_run or request.cost == 0:
        return
    if verdict.decision != RL_ALLOW and verdict.reason != RL_REASON_SCAN and verdict.reason != RL_REASON_PARTIAL_BODY:
        return
    for hit in range(mine.surcharged):
        if domain.limits[mine.ids[mine.hit_of[hit]]].score_cost:
            _charge_score(self, mine, domain, now_ns, hit, 1, verdict)
    if mine.by_score:
        _charge_score(self, mine, domain, now_ns, first, mine.by_score, verdict)


cdef void _charge_score(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, uint32_t first, uint32_t count, rl_verdict *verdict
) noexcept nogil:
    """Charges what the score costs to `count` hits from `first` on, and shows what is left."""
    cdef const snapshot_limit *limit
    cdef uint32_t hit, at
    cdef uint64_t charge
    for hit in range(first, first + count):
        at = mine.hit_of[hit]
        limit = &domain.limits[mine.ids[at]]
        charge = 0 if verdict.states[at].over else <uint64_t>verdict.score * (limit.cost if limit.by_score else limit.score_cost)
        mine.hits[hit].cost = <uint32_t>min(charge, <uint64_t>mine.hits[hit].rule.limit)
    table_charge(self.table, &mine.hits[first], count, check_clock(self, now_ns))
    for hit in range(first, first + count):
        if not verdict.states[mine.hit_of[hit]].over:
            _show(mine, hit, verdict)
