"""The decision spine: one request in, one verdict out."""
from libc.stdint cimport int16_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memset

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport (
    RL_ALLOW,
    RL_DENY,
    RL_MAX_MATCHES,
    RL_REASON_ALLOW_LIST,
    RL_REASON_DENY_LIST,
    RL_REASON_NO_POLICY,
    RL_REASON_OVERLOAD,
    RL_REASON_OVER_LIMIT,
    RL_REASON_PARTIAL_BODY,
    RL_REASON_SCAN,
    rl_count,
    rl_limit_state,
    rl_request,
    rl_verdict,
    rl_view,
)
from ratelimitd._ext.keying cimport KEY_TEXT_MAX, key_digest_of, key_join, key_parts, key_rate
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, table_decide, table_hit
from ratelimitd._ext.match.attributes cimport rl_attributes_client, rl_attributes_reset
from ratelimitd._ext.match.matcher cimport rl_matcher_run, rl_overrides_find
from ratelimitd._ext.scan.layout cimport scan_result
from ratelimitd._ext.scan.program cimport program_scan
from ratelimitd._ext.snapshot cimport (
    SNAPSHOT_MAX_KEY_PARTS,
    snapshot_domain,
    snapshot_find,
    snapshot_limit,
    snapshot_list,
    snapshot_rate,
)
from ratelimitd._ext.tell cimport tell, tell_may_deny, tell_sample
from ratelimitd._ext.worker cimport (
    COUNT_ALLOW_LIST,
    COUNT_DENY_LIST,
    COUNT_KINDS,
    COUNT_NEAR,
    COUNT_OVER_LIMIT,
    COUNT_SHADOW,
    check_shared,
    check_worker,
)

cdef enum:
    MODE_OFF = 0
    MODE_BLOCK = 2
    STATUS_TOO_LARGE = 413


# ---- counting what happened

cdef inline void _bump(check_worker *self, uint32_t slot, uint32_t kind) noexcept nogil:
    rl_count(&self.counts[slot * COUNT_KINDS + kind], 1)


cdef inline uint64_t _random(check_worker *self) noexcept nogil:
    """xorshift64*, Vigna 2016: ids that mean nothing, not secrets."""
    cdef uint64_t x = self.random
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    self.random = x
    return x * 2685821657736338717ULL


# ---- the spine

cdef void check(void *shared, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef const snapshot_domain *domain
    _begin(verdict)
    if mine.pinned == NULL or mine.broken:
        _deny(verdict, RL_REASON_OVERLOAD, 503)
        rl_count(&mine.totals.overload, 1)
        return
    domain = snapshot_find(mine.pinned, request.domain)
    if domain == NULL:
        _no_policy(mine, verdict)
        return
    verdict.domain = domain.name
    verdict.header_families = domain.headers
    verdict.metadata = domain.metadata
    rl_attributes_reset(mine.attributes, request, &domain.client)
    if domain.list_count and _check_lists(mine, domain, verdict):
        _finish(self, mine, domain, now_ns, request, verdict)
        return
    if domain.limit_count:
        _check_limits(self, mine, domain, now_ns, request, verdict)
    if domain.scan.program != NULL and (verdict.decision == RL_ALLOW or request.explain):
        _check_scan(mine, domain, request, verdict)
    _finish(self, mine, domain, now_ns, request, verdict)


cdef inline void _begin(rl_verdict *verdict) noexcept nogil:
    """Everything but the arrays, whose counts are 0."""
    memset(verdict, 0, <size_t>(<char *>&verdict.states[0] - <char *>verdict))
    verdict.status = 200
    verdict.deciding_state = verdict.deciding_match = verdict.tightest_state = -1


cdef inline void _deny(rl_verdict *verdict, uint8_t reason, uint16_t status) noexcept nogil:
    verdict.decision = RL_DENY
    verdict.reason = reason
    verdict.status = status


cdef void _no_policy(check_worker *mine, rl_verdict *verdict) noexcept nogil:
    if mine.pinned.unknown_domain_deny:
        _deny(verdict, RL_REASON_NO_POLICY, 403)
        rl_count(&mine.totals.no_policy_deny, 1)
    else:
        verdict.reason = RL_REASON_NO_POLICY
        rl_count(&mine.totals.no_policy_allow, 1)


cdef bint _check_lists(check_worker *mine, const snapshot_domain *domain, rl_verdict *verdict) noexcept nogil:
    """1 when a list decided: the first, in the policy's order, that holds the client and is not a shadow."""
    cdef rl_address client
    cdef rl_view nothing
    cdef const snapshot_list *entry
    cdef uint32_t index, count, turn
    mine.watched_list.size = 0
    if not rl_attributes_client(mine.attributes, &client):
        return False
    nothing.data = NULL
    nothing.size = 0
    count = domain.list_count
    if domain.list_matcher != NULL:
        count = min(rl_matcher_run(domain.list_matcher, mine.match_scratch, mine.attributes, mine.ids, TABLE_MAX_HITS), <uint32_t>TABLE_MAX_HITS)
    for turn in range(count):
        index = mine.ids[turn] if domain.list_matcher != NULL else turn
        entry = &domain.lists[index]
        if rl_overrides_find(entry.networks, nothing, &client) < 0:
            continue
        if entry.shadow:
            if entry.deny:
                if mine.watched_list.size == 0:
                    mine.watched_list = entry.name
                verdict.shadow_denied = 1
                _bump(mine, entry.slot, COUNT_SHADOW)
            continue
        verdict.list = entry.name
        if entry.deny:
            _deny(verdict, RL_REASON_DENY_LIST, entry.status)
            _bump(mine, entry.slot, COUNT_DENY_LIST)
        else:
            verdict.reason = RL_REASON_ALLOW_LIST
            _bump(mine, entry.slot, COUNT_ALLOW_LIST)
        return True
    return False


cdef void _check_limits(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t held = rl_matcher_run(domain.limit_matcher, mine.match_scratch, mine.attributes, mine.ids, TABLE_MAX_HITS)
    cdef uint32_t index, states = 0, hits = 0
    cdef int over
    if held > TABLE_MAX_HITS:
        rl_count(&mine.totals.limits_truncated, 1)
        held = TABLE_MAX_HITS
    for index in range(held):
        if not _begin_state(self, mine, domain, mine.ids[index], request.cost, verdict, states, hits):
            continue
        if not verdict.states[states].unlimited:
            mine.hit_of[hits] = <uint8_t>states
            hits += 1
        mine.ids[states] = mine.ids[index]
        states += 1
    verdict.state_count = <uint16_t>states
    if hits == 0:
        return
    over = table_decide(self.table, mine.hits, hits, domain.all_or_none, request.dry_run, now_ns // 1000000)
    for index in range(hits):
        _end_state(mine, domain, index, verdict)
    if over >= 0:
        _deny_over_limit(mine, domain, hits, verdict)


cdef bint _begin_state(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, uint32_t cost, rl_verdict *verdict, uint32_t at, uint32_t hit
) noexcept nogil:
    """Resolves the key and the rate of limit `id` into state `at` and hit `hit`. 0 when a missing key part makes the limit not apply."""
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
    state.window_ms = rate.rule.window_ms
    state.reset_after_ms = 0
    state.over = 0
    state.shadow = limit.shadow
    state.unlimited = rate.unlimited
    if rate.unlimited:
        return True
    key_digest_of(&self.secret, limit, parts, &out.digest)
    charge = <uint64_t>cost * limit.cost
    out.rule = &rate.rule
    out.cost = <uint32_t>min(charge, <uint64_t>0xFFFFFFFF)
    out.slot = limit.slot
    out.shadow = limit.shadow
    return True


cdef void _end_state(check_worker *mine, const snapshot_domain *domain, uint32_t hit, rl_verdict *verdict) noexcept nogil:
    """Copies what the table saw, and keeps the tightest enforced limit up to date."""
    cdef uint32_t at = mine.hit_of[hit]
    cdef rl_limit_state *state = &verdict.states[at]
    cdef rl_limit_state *tightest
    cdef const snapshot_limit *limit = &domain.limits[mine.ids[at]]
    cdef table_hit *seen = &mine.hits[hit]
    state.remaining = seen.view.remaining
    state.reset_after_ms = seen.view.reset_after_ms
    state.over = seen.view.over
    if state.over and state.shadow:
        verdict.shadow_denied = 1
        _bump(mine, limit.slot, COUNT_SHADOW)
    elif state.remaining * 5 <= state.limit:
        _bump(mine, limit.slot, COUNT_NEAR)
    if state.shadow:
        return
    if verdict.tightest_state < 0:
        verdict.tightest_state = <int16_t>at
        return
    # remaining / limit compared without a division; both fit 32 bits.
    tightest = &verdict.states[verdict.tightest_state]
    if state.remaining * tightest.limit < tightest.remaining * state.limit:
        verdict.tightest_state = <int16_t>at


cdef void _deny_over_limit(check_worker *mine, const snapshot_domain *domain, uint32_t hits, rl_verdict *verdict) noexcept nogil:
    """Of the limits that object, the one that takes longest to relent decides: a retry before it would fail again."""
    cdef uint32_t index, at
    cdef const snapshot_limit *limit
    cdef rl_limit_state *state
    for index in range(hits):
        at = mine.hit_of[index]
        state = &verdict.states[at]
        if not state.over or state.shadow:
            continue
        if verdict.deciding_state < 0 or state.reset_after_ms > verdict.states[verdict.deciding_state].reset_after_ms:
            verdict.deciding_state = <int16_t>at
    limit = &domain.limits[mine.ids[verdict.deciding_state]]
    _deny(verdict, RL_REASON_OVER_LIMIT, limit.status)
    verdict.tightest_state = verdict.deciding_state
    verdict.retry_after_s = max(<uint32_t>1, (verdict.states[verdict.deciding_state].reset_after_ms + 999) // 1000)
    _bump(mine, limit.slot, COUNT_OVER_LIMIT)


cdef void _check_scan(check_worker *mine, const snapshot_domain *domain, const rl_request *request, rl_verdict *verdict) noexcept nogil:
    cdef uint8_t mode = domain.scan.mode
    cdef uint32_t route, index
    cdef scan_result *found = &mine.scanned
    cdef bint objects
    if domain.scan.routes != NULL and rl_matcher_run(domain.scan.routes, mine.match_scratch, mine.attributes, &route, 1) > 0:
        mode = domain.scan.route_modes[route]
    if mode == MODE_OFF:
        return
    if request.partial_body and domain.scan.deny_partial_body:
        if _scan_objects(domain, mode, verdict, RL_REASON_PARTIAL_BODY, STATUS_TOO_LARGE):
            return
    program_scan(domain.scan.program, mine.scan_scratch_, request, domain.scan.body_limit, found)
    rl_count(&mine.totals.scans, 1)
    rl_count(&mine.totals.scan_bytes, found.bytes_inspected)
    verdict.bytes_inspected = found.bytes_inspected
    verdict.inspected_all = found.inspected_all
    if found.error:
        rl_count(&mine.totals.scan_errors, 1)
    if found.match_count == 0:
        return
    rl_count(&mine.totals.scan_matches, found.match_count)
    verdict.score = found.score
    verdict.match_count = <uint16_t>min(found.match_count, <uint32_t>RL_MAX_MATCHES)
    for index in range(verdict.match_count):
        verdict.matches[index] = found.matches[index]
    objects = found.deny_match >= 0 or found.score >= domain.scan.threshold
    if not objects:
        return
    verdict.deciding_match = <int16_t>max(found.deny_match, 0)
    _scan_objects(domain, mode, verdict, RL_REASON_SCAN, domain.scan.status)


cdef bint _scan_objects(const snapshot_domain *domain, uint8_t mode, rl_verdict *verdict, uint8_t reason, uint16_t status) noexcept nogil:
    """The scan objects: 1 when that decides. A limit that has denied already stays the reason."""
    if mode != MODE_BLOCK or domain.shadow:
        verdict.shadow_denied = 1
        return False
    if verdict.decision == RL_ALLOW:
        _deny(verdict, reason, status)
    return True


# ---- the end of a check

cdef void _finish(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t weight
    if verdict.decision == RL_DENY:
        verdict.reference = _random(mine)
        _bump(mine, domain.slot, verdict.reason)
        if tell_may_deny(self, &mine.denials, now_ns, &weight):
            tell(self, mine, domain, now_ns, request, verdict, weight)
        return
    _bump(mine, domain.slot, verdict.reason)
    if verdict.shadow_denied:
        _bump(mine, domain.slot, COUNT_SHADOW)
        if self.denials_per_second:
            # Rarer than other allows, and what a trial is about: a sample of both would miss most.
            if tell_may_deny(self, &mine.watched, now_ns, &weight):
                tell(self, mine, domain, now_ns, request, verdict, weight)
            return
    if self.sample:
        mine.until_sample -= 1
        if mine.until_sample == 0:
            weight = tell_sample(self, mine, now_ns)
            tell(self, mine, domain, now_ns, request, verdict, weight)
