from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t

from ratelimitd._ext.bytes.address cimport rl_address, rl_address_format
from ratelimitd._ext.core cimport (
    RL_ALLOW, RL_MAX_MATCHES, RL_REASON_PARTIAL_BODY, RL_REASON_SCAN, rl_count, rl_request, rl_response, rl_rule_match, rl_verdict,
)
from ratelimitd._ext.match.attributes cimport rl_attributes_client
from ratelimitd._ext.match.matcher cimport rl_matcher_run
from ratelimitd._ext.snapshot cimport snapshot_domain, snapshot_profile, snapshot_scan
from ratelimitd._ext.verdict cimport verdict_deny
from ratelimitd._ext.waf.layout cimport waf_fired, waf_moment, waf_result, waf_scratch
from ratelimitd._ext.waf.target cimport target_text
from ratelimitd._ext.waf.response cimport response_limit
from ratelimitd._ext.waf.transaction cimport waf_request, waf_response
from ratelimitd._ext.worker cimport check_secret, check_shared, check_worker

cdef enum:
    STATUS_TOO_LARGE = 413
    STATUS_BAD_GATEWAY = 502


cdef uint32_t inspect_choose(check_worker *mine, const snapshot_scan *scan, uint8_t *mode) noexcept nogil:
    """Those of the first route that holds; without one the first profile and the scan's mode."""
    cdef uint32_t route
    mode[0] = scan.mode
    if scan.routes == NULL or rl_matcher_run(scan.routes, mine.match_scratch, mine.attributes, &route, 1) == 0:
        return 0
    mode[0] = scan.route_modes[route]
    return scan.route_profiles[route]


cdef const waf_moment *inspect_moment(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request) noexcept nogil:
    cdef rl_address client
    mine.moment.now_ms = now_ns // 1000000
    mine.moment.domain = domain.name
    mine.moment.client.size = 0
    if rl_attributes_client(mine.attributes, &client):
        mine.moment.client.data = mine.client
        mine.moment.client.size = rl_address_format(&client, mine.client)
    mine.moment.records = self.records
    mine.moment.answers = self.answers
    mine.moment.secret = check_secret(self)
    mine.moment.dry_run = request.dry_run
    return &mine.moment


cdef void inspect(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint8_t mode
    cdef const snapshot_profile *profile = &domain.scan.profiles[inspect_choose(mine, &domain.scan, &mode)]
    cdef bint blocks = mode == MODE_BLOCK and not domain.shadow
    if mode == MODE_OFF:
        return
    if request.partial_body and profile.deny_partial_body:
        _object(blocks, verdict, RL_REASON_PARTIAL_BODY, STATUS_TOO_LARGE)
        if blocks:
            return
    waf_request(profile.program, mine.waf, inspect_moment(self, mine, domain, now_ns, request), request, profile.body_limit, not blocks, &mine.found)
    rl_count(&mine.totals.scans, 1)
    rl_count(&mine.totals.scan_bytes, mine.found.bytes_inspected)
    rl_count(&mine.totals.scan_matches, mine.found.fired_count + mine.found.fired_more)
    _take(mine, profile, blocks, verdict)


cdef bint _too_long(const snapshot_profile *profile, const rl_response *response) noexcept nogil:
    """Is it longer than what is looked at, and denied for that?"""
    cdef bint over = response.body.size > response_limit(profile.program, profile.body_limit)
    return response.partial_body and profile.deny_partial_body or profile.program.response_reject and (over or response.partial_body)


cdef void inspect_response(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, const rl_response *response,
    rl_verdict *verdict
) noexcept nogil:
    cdef uint8_t mode
    cdef const snapshot_profile *profile = &domain.scan.profiles[inspect_choose(mine, &domain.scan, &mode)]
    cdef bint blocks = mode == MODE_BLOCK and not domain.shadow
    if mode == MODE_OFF:
        return
    if _too_long(profile, response):
        _object(blocks, verdict, RL_REASON_PARTIAL_BODY, STATUS_BAD_GATEWAY)
        if blocks:
            return
    waf_response(profile.program, mine.waf, inspect_moment(self, mine, domain, now_ns, request), request, response, profile.body_limit, not blocks, &mine.found)
    rl_count(&mine.totals.response_bytes, mine.found.bytes_inspected)
    _take(mine, profile, blocks, verdict)


cdef void _take(check_worker *mine, const snapshot_profile *profile, bint blocks, rl_verdict *verdict) noexcept nogil:
    """What the program came to, into the verdict."""
    cdef const waf_result *found = &mine.found
    _count(mine, profile, found)
    verdict.bytes_inspected = found.bytes_inspected
    verdict.inspected_all = found.inspected_all
    verdict.score = found.score
    _tell_matches(mine.waf, profile, found, verdict)
    if found.denied:
        _object(blocks, verdict, RL_REASON_SCAN, found.status if found.status else profile.status)


cdef void _object(bint blocks, rl_verdict *verdict, uint8_t reason, uint16_t status) noexcept nogil:
    if not blocks:
        verdict.shadow_denied = 1
    elif verdict.decision == RL_ALLOW:
        verdict_deny(verdict, reason, status)


cdef void _count(check_worker *mine, const snapshot_profile *profile, const waf_result *found) noexcept nogil:
    cdef uint32_t index
    rl_count(&mine.totals.scan_errors, found.error)
    for index in range(found.fired_count):
        rl_count(&mine.rule_matches[profile.rule_slots[found.fired[index].link]], 1)


# ---- what is told of the rules that fired

cdef void _tell_match(waf_scratch *scratch, const snapshot_profile *profile, const waf_result *found, uint32_t index, rl_verdict *verdict, uint32_t at) noexcept nogil:
    cdef const waf_fired *fired = &found.fired[index]
    cdef rl_rule_match *match = &verdict.matches[at]
    match.id = profile.program.links[fired.link].id
    match.target = target_text(scratch, &fired.item)
    match.value = fired.item.value
    match.score = fired.score
    if <int>index == found.deciding:
        verdict.deciding_match = <int16_t>at


cdef void _tell_matches(waf_scratch *scratch, const snapshot_profile *profile, const waf_result *found, rl_verdict *verdict) noexcept nogil:
    """In the order in which they fired; when they are too many, first the one that decides, then those that score."""
    cdef bint all = found.fired_count <= RL_MAX_MATCHES
    cdef uint32_t told = 0
    cdef uint32_t turn, index
    if not all and found.deciding >= 0:
        _tell_match(scratch, profile, found, <uint32_t>found.deciding, verdict, 0)
        told = 1
    for turn in range(1 if all else 2):
        for index in range(found.fired_count):
            if told < RL_MAX_MATCHES and (all or <int>index != found.deciding and (found.fired[index].score == 0) == turn):
                _tell_match(scratch, profile, found, index, verdict, told)
                told += 1
    verdict.match_count = <uint16_t>told
