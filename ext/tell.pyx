"""Decisions worth telling: which, how often, and with what in them."""
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from ratelimitd._ext.bytes.address cimport rl_address, rl_address_format
from ratelimitd._ext.bytes.query cimport rl_target_split
from ratelimitd._ext.core cimport RL_ALLOW, RL_REASON_PARTIAL_BODY, RL_REASON_SCAN, rl_request, rl_verdict, rl_view
from ratelimitd._ext.events cimport (
    DECIDER_LIMIT,
    DECIDER_LIST,
    DECIDER_NONE,
    DECIDER_PARTIAL_BODY,
    DECIDER_PENALTY,
    DECIDER_RULE,
    EVENT_MATCHES,
    event,
    event_set,
    event_set_match,
    event_set_path,
    event_text,
    ring_claim,
    ring_push,
)
from ratelimitd._ext.keying cimport KEY_TEXT_MAX, key_join, key_parts, key_values
from ratelimitd._ext.limit.key cimport key_digest, key_hash
from ratelimitd._ext.match.attributes cimport rl_attributes_client
from ratelimitd._ext.snapshot cimport SNAPSHOT_MAX_KEY_PARTS, snapshot_domain, snapshot_penalty
from ratelimitd._ext.worker cimport LIMIT_NONE, check_secret, check_shared, check_worker, worker_budget


cdef uint32_t tell_sample(check_shared *self, check_worker *mine, int64_t now_ns) noexcept nogil:
    """What this sample stands for. Once a second the interval follows the traffic, so that logging costs the same at any rate."""
    cdef uint32_t weight = mine.sample_every
    cdef int64_t second = now_ns // 1000000000
    cdef uint64_t fitting
    if second != mine.sample_second:
        fitting = <uint64_t>mine.sample_every * mine.sampled // self.allows_per_second
        mine.sample_every = <uint32_t>min(max(fitting, <uint64_t>self.sample), <uint64_t>1 << 24)
        mine.sample_second = second
        mine.sampled = 0
    mine.sampled += 1
    mine.until_sample = mine.sample_every
    return weight if weight else 1  # the first decision of all


cdef bint tell_may_deny(const check_shared *self, worker_budget *budget, int64_t now_ns, uint32_t *weight) noexcept nogil:
    """At most denials_per_second are logged; each logged one carries those that were not."""
    cdef int64_t second = now_ns // 1000000000
    if second != budget.second:
        budget.second = second
        budget.left = self.denials_per_second
    if budget.left == 0:
        budget.skipped += 1
        return False
    budget.left -= 1
    weight[0] = 1 + budget.skipped
    budget.skipped = 0
    return True


cdef void tell(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, const rl_verdict *verdict, uint32_t weight, bint response
) noexcept nogil:
    cdef event *out = ring_claim(&mine.ring)
    cdef rl_address client
    cdef rl_view text
    cdef char address[46]
    cdef uint32_t index
    if out == NULL:
        return
    out.time_ns = now_ns
    out.reference = verdict.reference
    out.weight = weight
    out.score = verdict.score
    out.status = verdict.status
    out.decision = verdict.decision
    out.reason = verdict.reason
    out.shadow = verdict.shadow_denied
    out.response = response
    out.secret = domain.hash_keys
    event_set(&out.domain, domain.name)
    event_set(&out.method, request.method)
    event_set_path(&out.path, _without_query(request.path) if domain.hash_keys else request.path)
    text.data = NULL
    text.size = 0
    if rl_attributes_client(mine.attributes, &client):
        text.data = address
        text.size = rl_address_format(&client, address)
    _set_private(self, domain, &out.client, text)
    out.match_count = <uint8_t>min(<uint32_t>verdict.match_count, <uint32_t>EVENT_MATCHES)
    out.more = <uint8_t>(verdict.match_count - out.match_count)
    for index in range(out.match_count):
        event_set_match(&out.matches[index], &verdict.matches[index])
    out.banned_by.size = 0
    out.banned_s = 0
    if domain.penalty_count and mine.made >= 0:
        event_set(&out.banned_by, domain.penalties[mine.made].name)
        out.banned_s = mine.made_s
    _log_decider(self, mine, domain, verdict, out)
    ring_push(&mine.ring)


cdef void _log_decider(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, const rl_verdict *verdict, event *out
) noexcept nogil:
    """Who decided. When nothing did: who would have denied, were it enforced, or the tightest limit."""
    out.decider = DECIDER_NONE
    out.decided_by.size = out.key.size = 0
    if verdict.decision == RL_ALLOW and verdict.shadow_denied:
        _log_watched(self, mine, domain, verdict, out)
    elif verdict.list.size:
        _log_name(out, DECIDER_LIST, verdict.list)
    elif verdict.penalty.size:
        _log_penalty(self, mine, domain, <uint32_t>mine.penalty, out)
    elif verdict.reason == RL_REASON_SCAN:
        _log_name(out, DECIDER_RULE, verdict.matches[verdict.deciding_match].id)
    elif verdict.reason == RL_REASON_PARTIAL_BODY:
        out.decider = DECIDER_PARTIAL_BODY
    elif verdict.tightest_state >= 0:
        _log_limit(self, mine, domain, verdict, verdict.tightest_state, out)


cdef void _log_watched(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, const rl_verdict *verdict, event *out
) noexcept nogil:
    """The first that objects in the shadow: a list, a ban, a limit, the scan."""
    cdef int at
    if domain.list_count and mine.watched_list.size:
        _log_name(out, DECIDER_LIST, mine.watched_list)
        return
    if domain.penalty_count and mine.watched_penalty >= 0:
        _log_penalty(self, mine, domain, <uint32_t>mine.watched_penalty, out)
        return
    for at in range(verdict.state_count):
        if verdict.states[at].over and verdict.states[at].shadow:
            _log_limit(self, mine, domain, verdict, at, out)
            return
    if verdict.deciding_match >= 0:
        _log_name(out, DECIDER_RULE, verdict.matches[verdict.deciding_match].id)
    else:
        out.decider = DECIDER_PARTIAL_BODY


cdef inline void _log_name(event *out, uint8_t decider, rl_view name) noexcept nogil:
    out.decider = decider
    event_set(&out.decided_by, name)


cdef void _log_limit(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, const rl_verdict *verdict, int at, event *out
) noexcept nogil:
    """A limit, and the key that it counted."""
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef char joined[KEY_TEXT_MAX]
    _log_name(out, DECIDER_LIMIT, verdict.states[at].name)
    if mine.ids[at] != LIMIT_NONE and key_parts(mine, domain, mine.ids[at], parts):
        _set_private(self, domain, &out.key, key_join(parts, domain.limits[mine.ids[at]].key_count, joined))


cdef void _log_penalty(const check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, event *out) noexcept nogil:
    """A penalty, and the key that is banned."""
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef char joined[KEY_TEXT_MAX]
    cdef const snapshot_penalty *penalty = &domain.penalties[id]
    _log_name(out, DECIDER_PENALTY, penalty.name)
    if key_values(mine, domain.penalty_matcher, id, penalty.key, penalty.key_count, True, parts):
        _set_private(self, domain, &out.key, key_join(parts, penalty.key_count, joined))


cdef rl_view _without_query(rl_view target) noexcept nogil:
    """Queries carry tokens and names: where keys are private, so are they."""
    cdef rl_view path, query
    rl_target_split(target, &path, &query)
    return path


cdef rl_view tell_private(const check_shared *self, const snapshot_domain *domain, rl_view text, char *room) noexcept nogil:
    """The same key still gives the same text."""
    cdef const char *digits = "0123456789abcdef"
    cdef key_digest digest
    cdef int index
    if domain.hash_keys and text.size:
        key_hash(check_secret(self), text.data, text.size, &digest)
        for index in range(16):
            room[index] = digits[(digest.lo >> (60 - 4 * index)) & 15]
        text.data = room
        text.size = 16
    return text


cdef void _set_private(const check_shared *self, const snapshot_domain *domain, event_text *out, rl_view text) noexcept nogil:
    cdef char hashed[16]
    event_set(out, tell_private(self, domain, text, hashed))
