"""The decision spine: one request in, one verdict out."""
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ratelimitd._ext.core cimport (
    RL_ALLOW,
    RL_DENY,
    RL_MAX_MATCHES,
    RL_MAX_STATES,
    RL_REASON_ALLOW_LIST,
    RL_REASON_DENY_LIST,
    RL_REASON_NO_POLICY,
    RL_REASON_NONE,
    RL_REASON_OVER_LIMIT,
    RL_REASON_OVERLOAD,
    RL_REASON_PARTIAL_BODY,
    RL_REASON_SCAN,
    rl_count,
    rl_limit_state,
    rl_load_pointer,
    rl_request,
    rl_store_pointer,
    rl_verdict,
    rl_view,
)
from ratelimitd._ext.events cimport (
    EVENT_RULES,
    event,
    event_set,
    event_set_path,
    event_text,
    ring_claim,
    ring_free,
    ring_init,
    ring_push,
)
from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, table_decide, table_hit
from ratelimitd._ext.bytes.address cimport rl_address, rl_address_format
from ratelimitd._ext.match.attributes cimport (
    RL_SOURCE_CLIENT_IP,
    RL_SOURCE_CONSTANT,
    RL_SOURCE_PATH_PARAM,
    rl_attributes_client,
    rl_attributes_free,
    rl_attributes_get,
    rl_attributes_new,
    rl_attributes_reset,
)
from ratelimitd._ext.match.matcher cimport (
    rl_match_scratch_free,
    rl_match_scratch_new,
    rl_match_scratch_prepare,
    rl_matcher_param,
    rl_matcher_run,
    rl_overrides_find,
)
from ratelimitd._ext.scan.program cimport program_scan, scratch_free, scratch_new, scratch_prepare
from ratelimitd._ext.snapshot cimport (
    SNAPSHOT_MAX_KEY_PARTS,
    snapshot,
    snapshot_domain,
    snapshot_find,
    snapshot_limit,
    snapshot_list,
    snapshot_rate,
)

cdef enum:
    KEY_PART_MAX = 256        # longer parts enter the digest as their own digest
    KEY_TEXT_MAX = 512        # of the joined text; overrides and logs see no more
    MODE_OFF = 0
    MODE_BLOCK = 2
    STATUS_TOO_LARGE = 413


# ---- workers

cdef check_worker *worker_new(uint64_t seed) noexcept nogil:
    cdef check_worker *self = <check_worker *>calloc(1, sizeof(check_worker))
    if self == NULL:
        return NULL
    self.random = seed | 1
    self.until_sample = 1
    self.attributes = rl_attributes_new()
    self.match_scratch = rl_match_scratch_new()
    self.scan_scratch_ = scratch_new()
    self.counts = <uint64_t *>calloc(COUNT_SLOTS * COUNT_KINDS, sizeof(uint64_t))
    if ring_init(&self.ring) != 0 or self.counts == NULL or self.attributes == NULL or self.match_scratch == NULL or self.scan_scratch_ == NULL:
        worker_free(self)
        return NULL
    return self


cdef void worker_free(check_worker *self) noexcept nogil:
    if self == NULL:
        return
    if self.attributes != NULL:
        rl_attributes_free(self.attributes)
    if self.match_scratch != NULL:
        rl_match_scratch_free(self.match_scratch)
    if self.scan_scratch_ != NULL:
        scratch_free(self.scan_scratch_)
    free(self.counts)
    ring_free(&self.ring)
    free(self)


cdef int _prepare(check_worker *self, const snapshot *snap) noexcept nogil:
    """Makes the scratches fit a snapshot that this worker meets for the first time. The only allocation of a reload on a worker."""
    cdef uint32_t index
    cdef const snapshot_domain *domain
    for index in range(snap.domain_count):
        domain = &snap.domains[index]
        if domain.list_matcher != NULL and rl_match_scratch_prepare(self.match_scratch, domain.list_matcher) != 0:
            return -1
        if domain.limit_matcher != NULL and rl_match_scratch_prepare(self.match_scratch, domain.limit_matcher) != 0:
            return -1
        if domain.scan.routes != NULL and rl_match_scratch_prepare(self.match_scratch, domain.scan.routes) != 0:
            return -1
        if domain.scan.program != NULL and scratch_prepare(self.scan_scratch_, domain.scan.program) != 0:
            return -1
    return 0


# A hazard pointer: what `pinned` names is not freed. The second look catches a swap between the load and the store.
cdef void check_enter(void *shared, uint32_t worker) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    cdef check_worker *mine = self.workers[worker]
    cdef void *current = rl_load_pointer(<void **>&self.current)
    while True:
        rl_store_pointer(<void **>&mine.pinned, current)
        if rl_load_pointer(<void **>&self.current) == current:
            break
        current = rl_load_pointer(<void **>&self.current)
    if current != NULL and (<snapshot *>current).generation != mine.prepared:
        mine.broken = _prepare(mine, <snapshot *>current) != 0
        mine.prepared = (<snapshot *>current).generation


cdef void check_leave(void *shared, uint32_t worker) noexcept nogil:
    cdef check_shared *self = <check_shared *>shared
    rl_store_pointer(<void **>&self.workers[worker].pinned, NULL)


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
    if not _key_parts(mine, domain, id, parts):
        return False
    if limit.overrides != NULL:
        if rl_attributes_client(mine.attributes, &client):
            known = &client
        rate = check_rate(limit, _join(parts, limit.key_count, joined), known)
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
    check_digest(&self.secret, limit, parts, &out.digest)
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
        if _object(domain, mode, verdict, RL_REASON_PARTIAL_BODY, STATUS_TOO_LARGE):
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
    _object(domain, mode, verdict, RL_REASON_SCAN, domain.scan.status)


cdef bint _object(const snapshot_domain *domain, uint8_t mode, rl_verdict *verdict, uint8_t reason, uint16_t status) noexcept nogil:
    """The scan objects: 1 when that decides. A limit that has denied already stays the reason."""
    if mode != MODE_BLOCK or domain.shadow:
        verdict.shadow_denied = 1
        return False
    if verdict.decision == RL_ALLOW:
        _deny(verdict, reason, status)
    return True


# ---- keys

cdef bint _key_parts(check_worker *mine, const snapshot_domain *domain, uint32_t id, rl_view *parts) noexcept nogil:
    """The values of a limit's key. 0 when one is missing and the limit then does not apply."""
    cdef const snapshot_limit *limit = &domain.limits[id]
    cdef uint32_t index
    cdef int present, source
    for index in range(limit.key_count):
        source = limit.key[index].source
        if source == RL_SOURCE_CONSTANT:
            parts[index] = limit.key[index].name
            continue
        if source == RL_SOURCE_PATH_PARAM:
            present = rl_matcher_param(domain.limit_matcher, id, mine.attributes, limit.key[index].name, &parts[index])
        else:
            present = rl_attributes_get(mine.attributes, source, limit.key[index].name, &parts[index])
        if not present:
            if limit.skip_missing_key:
                return False
            parts[index].data = NULL
            parts[index].size = 0
    return True


cdef void check_digest(const key_secret *secret, const snapshot_limit *limit, const rl_view *parts, key_digest *out) noexcept nogil:
    """Lengths go in with the parts, so that ("ab", "c") and ("a", "bc") differ."""
    cdef char text[16 + SNAPSHOT_MAX_KEY_PARTS * (4 + KEY_PART_MAX)]
    cdef key_digest long_part
    cdef uint32_t index
    cdef size_t size = 16
    memcpy(text, limit.identity, 16)
    for index in range(limit.key_count):
        memcpy(text + size, &parts[index].size, 4)
        size += 4
        if parts[index].size <= KEY_PART_MAX:
            if parts[index].size:
                memcpy(text + size, parts[index].data, parts[index].size)
            size += parts[index].size
        else:
            key_hash(secret, parts[index].data, parts[index].size, &long_part)
            memcpy(text + size, &long_part, sizeof(long_part))
            size += sizeof(long_part)
    key_hash(secret, text, size, out)


cdef rl_view _join(const rl_view *parts, uint32_t count, char *room) noexcept nogil:
    """The parts joined by "|", cut at KEY_TEXT_MAX; one part alone is not copied."""
    cdef rl_view text
    cdef uint32_t index, size = 0, take
    if count == 1:
        return parts[0]
    for index in range(count):
        if index and size < KEY_TEXT_MAX:
            room[size] = c"|"
            size += 1
        take = min(parts[index].size, <uint32_t>KEY_TEXT_MAX - size)
        if take:
            memcpy(room + size, parts[index].data, take)
        size += take
    text.data = room
    text.size = size
    return text


cdef const snapshot_rate *check_rate(const snapshot_limit *limit, rl_view text, const rl_address *client) noexcept nogil:
    cdef int64_t index
    if limit.overrides == NULL:
        return &limit.rate
    index = rl_overrides_find(limit.overrides, text, client)
    if index < 0:
        return &limit.rate
    return &limit.override_rates[index]


# ---- the end of a check

cdef void _finish(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t weight
    if verdict.decision == RL_DENY:
        verdict.reference = _random(mine)
        _bump(mine, domain.slot, verdict.reason)
        if _may_log_denial(self, mine, now_ns, &weight):
            _log(self, mine, domain, now_ns, request, verdict, weight)
        return
    _bump(mine, domain.slot, verdict.reason)
    if verdict.shadow_denied:
        _bump(mine, domain.slot, COUNT_SHADOW)
    if self.sample:
        mine.until_sample -= 1
        if mine.until_sample == 0:
            weight = _next_sample(self, mine, now_ns)
            _log(self, mine, domain, now_ns, request, verdict, weight)


cdef uint32_t _next_sample(check_shared *self, check_worker *mine, int64_t now_ns) noexcept nogil:
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


cdef bint _may_log_denial(check_shared *self, check_worker *mine, int64_t now_ns, uint32_t *weight) noexcept nogil:
    """At most denials_per_second are logged; each logged one carries those that were not."""
    cdef int64_t second = now_ns // 1000000000
    if second != mine.denials_second:
        mine.denials_second = second
        mine.denials_left = self.denials_per_second
    if mine.denials_left == 0:
        mine.denials_skipped += 1
        return False
    mine.denials_left -= 1
    weight[0] = 1 + mine.denials_skipped
    mine.denials_skipped = 0
    return True


cdef void _log(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, const rl_verdict *verdict, uint32_t weight
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
    event_set(&out.domain, domain.name)
    event_set(&out.method, request.method)
    event_set_path(&out.path, request.path)
    text.data = NULL
    text.size = 0
    if rl_attributes_client(mine.attributes, &client):
        text.data = address
        text.size = rl_address_format(&client, address)
    _set_private(self, domain, &out.client, text)
    out.rule_count = <uint8_t>min(<uint32_t>verdict.match_count, <uint32_t>EVENT_RULES)
    for index in range(out.rule_count):
        event_set(&out.rules[index], verdict.matches[index].id)
    _log_decider(self, mine, domain, verdict, out)
    ring_push(&mine.ring)


cdef void _log_decider(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, const rl_verdict *verdict, event *out
) noexcept nogil:
    """Who decided (when nothing did: the limit that would have denied, were it enforced, or the tightest), and the key it counted."""
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef char joined[KEY_TEXT_MAX]
    cdef int at = verdict.tightest_state
    if verdict.decision == RL_ALLOW and verdict.shadow_denied:
        at = _watched_state(verdict)
    out.decided_by.size = out.key.size = 0
    if verdict.list.size:
        event_set(&out.decided_by, verdict.list)
    elif verdict.reason == RL_REASON_SCAN:
        event_set(&out.decided_by, verdict.matches[verdict.deciding_match].id)
    elif at >= 0:
        event_set(&out.decided_by, verdict.states[at].name)
        if _key_parts(mine, domain, mine.ids[at], parts):
            _set_private(self, domain, &out.key, _join(parts, domain.limits[mine.ids[at]].key_count, joined))


cdef int _watched_state(const rl_verdict *verdict) noexcept nogil:
    """The first shadow limit that objects, else the tightest."""
    cdef int at
    for at in range(verdict.state_count):
        if verdict.states[at].over and verdict.states[at].shadow:
            return at
    return verdict.tightest_state


cdef void _set_private(const check_shared *self, const snapshot_domain *domain, event_text *out, rl_view text) noexcept nogil:
    """As it is, or its keyed hash when the policy wants keys hidden: the same key still gives the same text."""
    cdef const char *digits = "0123456789abcdef"
    cdef key_digest digest
    cdef char hashed[16]
    cdef int index
    if domain.hash_keys and text.size:
        key_hash(&self.secret, text.data, text.size, &digest)
        for index in range(16):
            hashed[index] = digits[(digest.lo >> (60 - 4 * index)) & 15]
        text.data = hashed
        text.size = 16
    event_set(out, text)
