"""The decision spine: one request in, one verdict out."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport (
    RL_ALLOW,
    RL_DENY,
    RL_REASON_ALLOW_LIST,
    RL_REASON_DENY_LIST,
    RL_REASON_NO_POLICY,
    RL_REASON_OVERLOAD,
    rl_count,
    rl_request,
    rl_response,
    rl_verdict,
    rl_view,
)
from ratelimitd._ext.inspect cimport inspect, inspect_response
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS
from ratelimitd._ext.limits cimport limits_charge_score, limits_decide
from ratelimitd._ext.match.attributes cimport rl_attributes_client, rl_attributes_reset
from ratelimitd._ext.match.matcher cimport rl_matcher_run, rl_overrides_find
from ratelimitd._ext.penalties cimport penalties_check, penalties_count
from ratelimitd._ext.snapshot cimport snapshot_domain, snapshot_find, snapshot_list
from ratelimitd._ext.tell cimport tell, tell_may_deny, tell_sample
from ratelimitd._ext.verdict cimport verdict_begin, verdict_deny
from ratelimitd._ext.worker cimport COUNT_ALLOW_LIST, COUNT_DENY_LIST, COUNT_KINDS, COUNT_SHADOW, check_shared, check_worker, worker_count

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
    cdef uint8_t before
    verdict_begin(verdict)
    if mine.pinned == NULL or mine.broken:
        verdict_deny(verdict, RL_REASON_OVERLOAD, 503)
        rl_count(&mine.totals.overload, 1)
        return
    domain = snapshot_find(mine.pinned, request.domain)
    if domain == NULL:
        check_no_policy(mine, verdict)
        return
    verdict.domain = domain.name
    verdict.header_families = domain.headers
    verdict.metadata = domain.metadata
    rl_attributes_reset(mine.attributes, request, &domain.client)
    if domain.list_count and _check_lists(mine, domain, verdict):
        check_finish(self, mine, domain, now_ns, request, verdict)
        return
    if domain.penalty_count and penalties_check(self, mine, domain, now_ns, verdict):
        check_finish(self, mine, domain, now_ns, request, verdict)
        return
    mine.by_score = mine.surcharged = 0
    if domain.limit_count:
        limits_decide(self, mine, domain, now_ns, request, verdict)
    before = verdict.shadow_denied
    verdict.shadow_denied = 0
    if verdict.decision == RL_ALLOW or request.explain:
        if domain.scan.profile_count:
            inspect(self, mine, domain, now_ns, request, verdict)
        if (mine.by_score or mine.surcharged) and verdict.score:
            limits_charge_score(self, mine, domain, now_ns, request, verdict)
    if domain.penalty_count:
        penalties_count(self, mine, domain, now_ns, request, verdict.shadow_denied, verdict)
    verdict.shadow_denied |= before
    check_finish(self, mine, domain, now_ns, request, verdict)


cdef void check_response(
    void *shared, uint32_t worker, int64_t now_ns, const rl_request *request, const rl_response *response, rl_verdict *verdict
) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef const snapshot_domain *domain
    verdict_begin(verdict)
    verdict.status = response.status
    mine.watched_list.size = 0
    mine.watched_penalty = mine.made = -1
    if mine.pinned == NULL or mine.broken:
        verdict_deny(verdict, RL_REASON_OVERLOAD, 503)
        rl_count(&mine.totals.overload, 1)
        return
    domain = snapshot_find(mine.pinned, request.domain)
    if domain != NULL:
        verdict.domain = domain.name
        rl_attributes_reset(mine.attributes, request, &domain.client)
        if domain.scan.profile_count:
            inspect_response(self, mine, domain, now_ns, request, response, verdict)
    elif mine.pinned.unknown_domain_deny:
        verdict_deny(verdict, RL_REASON_NO_POLICY, 403)
    else:
        verdict.reason = RL_REASON_NO_POLICY
    _finish_response(self, mine, domain, now_ns, request, verdict)


cdef void check_no_policy(check_worker *mine, rl_verdict *verdict) noexcept nogil:
    if mine.pinned.unknown_domain_deny:
        verdict_deny(verdict, RL_REASON_NO_POLICY, 403)
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
                worker_count(mine, entry.slot, COUNT_SHADOW)
            continue
        verdict.list = entry.name
        if entry.deny:
            verdict_deny(verdict, RL_REASON_DENY_LIST, entry.status)
            worker_count(mine, entry.slot, COUNT_DENY_LIST)
        else:
            verdict.reason = RL_REASON_ALLOW_LIST
            worker_count(mine, entry.slot, COUNT_ALLOW_LIST)
        return True
    return False


# ---- the end of a check

cdef void check_finish(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef bint banned = domain.penalty_count and mine.made >= 0
    cdef uint32_t weight
    if verdict.decision == RL_DENY:
        verdict.reference = _random(mine)
        if verdict.reason < COUNT_KINDS:    # bans are counted by their penalties
            worker_count(mine, domain.slot, verdict.reason)
        if tell_may_deny(self, &mine.denials, now_ns, &weight):
            tell(self, mine, domain, now_ns, request, verdict, weight, False)
        return
    worker_count(mine, domain.slot, verdict.reason)
    if verdict.shadow_denied:
        worker_count(mine, domain.slot, COUNT_SHADOW)
    if verdict.shadow_denied or banned:
        if self.denials_per_second:
            # Rarer than other allows, and what a trial is about: a sample of both would miss most.
            if tell_may_deny(self, &mine.watched, now_ns, &weight):
                tell(self, mine, domain, now_ns, request, verdict, weight, False)
            return
    if self.sample:
        mine.until_sample -= 1
        if mine.until_sample == 0:
            weight = tell_sample(self, mine, now_ns)
            tell(self, mine, domain, now_ns, request, verdict, weight, False)


cdef void _finish_response(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    """Denials, enforced or in the shadow, go to the log as those of checks do; an allow says nothing that its check has not said."""
    cdef uint32_t weight
    cdef bint denied = verdict.decision == RL_DENY
    rl_count(&mine.totals.responses_denied if denied else &mine.totals.responses_allowed, 1)
    if denied:
        verdict.reference = _random(mine)
    elif verdict.shadow_denied:
        rl_count(&mine.totals.responses_watched, 1)
    else:
        return
    if domain != NULL and tell_may_deny(self, &mine.denials if denied else &mine.watched, now_ns, &weight):
        tell(self, mine, domain, now_ns, request, verdict, weight, True)
