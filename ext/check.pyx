"""The decision spine: one request in, one verdict out."""
from libc.stdint cimport int16_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport (
    RL_ALLOW,
    RL_DENY,
    RL_MAX_MATCHES,
    RL_REASON_ALLOW_LIST,
    RL_REASON_DENY_LIST,
    RL_REASON_NO_POLICY,
    RL_REASON_OVERLOAD,
    RL_REASON_PARTIAL_BODY,
    RL_REASON_SCAN,
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
from ratelimitd._ext.scan.layout cimport scan_result
from ratelimitd._ext.scan.program cimport program_scan
from ratelimitd._ext.snapshot cimport snapshot_domain, snapshot_find, snapshot_list
from ratelimitd._ext.tell cimport tell, tell_may_deny, tell_sample
from ratelimitd._ext.verdict cimport verdict_begin, verdict_deny
from ratelimitd._ext.worker cimport COUNT_ALLOW_LIST, COUNT_DENY_LIST, COUNT_SHADOW, check_shared, check_worker, worker_count

cdef enum:
    MODE_OFF = 0
    MODE_BLOCK = 2
    STATUS_TOO_LARGE = 413


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
    verdict_begin(verdict)
    if mine.pinned == NULL or mine.broken:
        verdict_deny(verdict, RL_REASON_OVERLOAD, 503)
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
    mine.by_score = 0
    if domain.limit_count:
        limits_decide(self, mine, domain, now_ns, request, verdict)
    if verdict.decision == RL_ALLOW or request.explain:
        if domain.scan.profile_count:
            inspect(mine, domain, request, verdict)
        elif domain.scan.program != NULL:
            _check_scan(mine, domain, request, verdict)
        if mine.by_score and verdict.score:
            limits_charge_score(self, mine, domain, now_ns, request, verdict)
    _finish(self, mine, domain, now_ns, request, verdict)


cdef void check_response(
    void *shared, uint32_t worker, int64_t now_ns, const rl_request *request, const rl_response *response, rl_verdict *verdict
) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef const snapshot_domain *domain
    verdict_begin(verdict)
    verdict.status = response.status
    mine.watched_list.size = 0
    if mine.pinned == NULL or mine.broken:
        verdict_deny(verdict, RL_REASON_OVERLOAD, 503)
        rl_count(&mine.totals.overload, 1)
        return
    domain = snapshot_find(mine.pinned, request.domain)
    if domain != NULL:
        verdict.domain = domain.name
        rl_attributes_reset(mine.attributes, request, &domain.client)
        if domain.scan.profile_count:
            inspect_response(mine, domain, request, response, verdict)
    elif mine.pinned.unknown_domain_deny:
        verdict_deny(verdict, RL_REASON_NO_POLICY, 403)
    else:
        verdict.reason = RL_REASON_NO_POLICY
    _finish_response(self, mine, domain, now_ns, request, verdict)


cdef void _no_policy(check_worker *mine, rl_verdict *verdict) noexcept nogil:
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
        verdict_deny(verdict, reason, status)
    return True


# ---- the end of a check

cdef void _finish(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t weight
    if verdict.decision == RL_DENY:
        verdict.reference = _random(mine)
        worker_count(mine, domain.slot, verdict.reason)
        if tell_may_deny(self, &mine.denials, now_ns, &weight):
            tell(self, mine, domain, now_ns, request, verdict, weight)
        return
    worker_count(mine, domain.slot, verdict.reason)
    if verdict.shadow_denied:
        worker_count(mine, domain.slot, COUNT_SHADOW)
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
        tell(self, mine, domain, now_ns, request, verdict, weight)
