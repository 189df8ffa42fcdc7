from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ratelimitd._ext.core cimport RL_DENY, RL_REASON_PARTIAL_BODY, RL_REASON_PENALTY, RL_REASON_SCAN, rl_count, rl_request, rl_verdict, rl_view
from ratelimitd._ext.keying cimport KEY_TEXT_MAX, key_identify, key_join, key_values
from ratelimitd._ext.limit.bans cimport BAN_KEY_MAX, BAN_NAME_MAX, ban, ban_text, bans_any, bans_find, bans_raise, bans_renew
from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, table_charge, table_hit
from ratelimitd._ext.limit.window cimport window_rule
from ratelimitd._ext.match.matcher cimport rl_matcher_run
from ratelimitd._ext.snapshot cimport SNAPSHOT_MAX_KEY_PARTS, snapshot_domain, snapshot_penalty, snapshot_trigger
from ratelimitd._ext.tell cimport tell_private
from ratelimitd._ext.verdict cimport verdict_deny
from ratelimitd._ext.worker cimport COUNT_BANNED, COUNT_BANS, COUNT_SHADOW, check_clock, check_secret, check_shared, check_worker, worker_count


# What a trigger counts of a check.
cdef struct tally:
    uint32_t denials      # 0 or 1
    uint32_t score


cdef uint32_t _applying(check_worker *mine, const snapshot_domain *domain, uint32_t *ids) noexcept nogil:
    cdef uint32_t held = rl_matcher_run(domain.penalty_matcher, mine.match_scratch, mine.attributes, ids, TABLE_MAX_HITS)
    if held > TABLE_MAX_HITS:
        rl_count(&mine.totals.penalties_truncated, 1)
        held = TABLE_MAX_HITS
    return held


cdef bint _identify(check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, rl_view *parts, key_digest *out) noexcept nogil:
    """0 when a part of the key is missing: nobody is banned for what many have in common."""
    cdef const snapshot_penalty *penalty = &domain.penalties[id]
    if not key_values(mine, domain.penalty_matcher, id, penalty.key, penalty.key_count, True, parts):
        return False
    key_identify(check_secret(self), penalty.identity, parts, penalty.key_count, out)
    return True


# ---- who is banned

cdef bint penalties_check(check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, rl_verdict *verdict) noexcept nogil:
    cdef uint32_t ids[TABLE_MAX_HITS]
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef const snapshot_penalty *penalty
    cdef key_digest digest
    cdef ban known
    cdef int64_t now_ms = check_clock(self, now_ns), until_ms = 0
    cdef uint32_t turn
    mine.watched_penalty = mine.penalty = mine.made = -1
    if not bans_any(self.bans):
        return False
    for turn in range(_applying(mine, domain, ids)):
        penalty = &domain.penalties[ids[turn]]
        if not _identify(self, mine, domain, ids[turn], parts, &digest):
            continue
        if not bans_find(self.bans, &digest, now_ms, &known) or known.until_ms <= now_ms:
            continue
        if penalty.shadow:
            if mine.watched_penalty < 0:
                mine.watched_penalty = ids[turn]
            verdict.shadow_denied = 1
            worker_count(mine, penalty.slot, COUNT_SHADOW)
        elif known.until_ms > until_ms:
            until_ms = known.until_ms
            mine.penalty = ids[turn]
    if mine.penalty < 0:
        return False
    penalty = &domain.penalties[mine.penalty]
    verdict_deny(verdict, RL_REASON_PENALTY, penalty.status)
    verdict.penalty = penalty.name
    verdict.retry_after_s = _seconds(until_ms - now_ms)
    worker_count(mine, penalty.slot, COUNT_BANNED)
    return True


cdef inline uint32_t _seconds(int64_t left_ms) noexcept nogil:
    """Whole seconds, rounded up."""
    return <uint32_t>min(max((left_ms + 999) // 1000, <int64_t>1), <int64_t>0xFFFFFFFF)


# ---- who will be

cdef bint _limit_objects(check_worker *mine, const snapshot_trigger *trigger, bint shadow, const rl_verdict *verdict) noexcept nogil:
    """Does a limit of the trigger deny? With shadow: or would it?"""
    cdef uint32_t at, index
    for at in range(verdict.state_count):
        if not verdict.states[at].over or (verdict.states[at].shadow and not shadow):
            continue
        if trigger.limits_all:
            return True
        for index in range(trigger.limit_count):
            if trigger.limits[index] == mine.ids[at]:
                return True
    return False


cdef void _count_towards(
    check_worker *mine, const snapshot_trigger *trigger, bint shadow, bint scan_watched, const rl_verdict *verdict, tally *out
) noexcept nogil:
    cdef bint scan_objects = scan_watched and shadow
    if verdict.decision == RL_DENY:
        scan_objects |= verdict.reason == RL_REASON_SCAN or verdict.reason == RL_REASON_PARTIAL_BODY
    out.denials = 0
    out.score = 0
    if trigger.denials.limit:
        out.denials = scan_objects and trigger.scan or _limit_objects(mine, trigger, shadow, verdict)
    if trigger.score.limit:
        out.score = min(verdict.score, trigger.score.limit)


cdef void _set_hit(
    const key_secret *secret, const key_digest *digest, int64_t bout, uint32_t number, const window_rule *rule, uint32_t cost, uint32_t slot, table_hit *out
) noexcept nogil:
    """A counter of an ordinary table. Each bout has its own, so that what led to one ban does not lead to the next."""
    cdef char text[28]
    memcpy(text, digest, 16)
    memcpy(text + 16, &bout, 8)
    memcpy(text + 24, &number, 4)
    key_hash(secret, text, 28, &out.digest)
    out.rule = rule
    out.cost = cost
    out.slot = slot
    out.shadow = True
    out.consistency = out.on_loss = 0
    out.view.used = 0     # what costs nothing and is not known is not looked at


cdef bint _reached(
    check_shared *self, const snapshot_penalty *penalty, uint32_t number, const key_digest *digest, int64_t bout, const tally *counted, int64_t now_ms
) noexcept nogil:
    """Counts, and says whether that is all that the trigger asks for."""
    cdef const snapshot_trigger *trigger = &penalty.triggers[number]
    cdef table_hit hits[2]
    cdef int count = 0, index
    if trigger.denials.limit:
        _set_hit(check_secret(self), digest, bout, 2 * number, &trigger.denials, counted.denials, penalty.slot, &hits[count])
        count += 1
    if trigger.score.limit:
        _set_hit(check_secret(self), digest, bout, 2 * number + 1, &trigger.score, counted.score, penalty.slot, &hits[count])
        count += 1
    table_charge(self.table, hits, count, now_ms)
    for index in range(count):
        if hits[index].view.used < hits[index].rule.limit:
            return False
    return True


cdef void penalties_count(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, bint scan_watched, rl_verdict *verdict
) noexcept nogil:
    cdef uint32_t ids[TABLE_MAX_HITS]
    cdef uint32_t turn
    if request.dry_run or request.cost == 0:
        return
    if verdict.decision != RL_DENY and verdict.score == 0 and not scan_watched and not _any_over(verdict):
        return
    for turn in range(_applying(mine, domain, ids)):
        if domain.penalties[ids[turn]].trigger_count:
            _count_penalty(self, mine, domain, ids[turn], check_clock(self, now_ns), scan_watched, verdict)


cdef bint _any_over(const rl_verdict *verdict) noexcept nogil:
    cdef uint32_t at
    for at in range(verdict.state_count):
        if verdict.states[at].over:
            return True
    return False


cdef void _count_penalty(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, int64_t now_ms, bint scan_watched, rl_verdict *verdict
) noexcept nogil:
    cdef const snapshot_penalty *penalty = &domain.penalties[id]
    cdef rl_view parts[SNAPSHOT_MAX_KEY_PARTS]
    cdef key_digest digest
    cdef tally counted
    cdef ban known
    cdef int64_t bout = 0
    cdef bint any = False, reached = False
    cdef uint32_t number
    if not _identify(self, mine, domain, id, parts, &digest):
        return
    if bans_find(self.bans, &digest, now_ms, &known):
        if known.until_ms > now_ms:     # only watched, or banned by another worker meanwhile
            return
        bout = known.changed_ms
    for number in range(penalty.trigger_count):
        _count_towards(mine, &penalty.triggers[number], penalty.shadow, scan_watched, verdict, &counted)
        if counted.denials or counted.score:
            any = True
            reached |= _reached(self, penalty, number, &digest, bout, &counted, now_ms)
    if reached:
        _ban(self, mine, domain, id, &digest, parts, now_ms, verdict)
    elif any and bout:
        bans_renew(self.bans, &digest, now_ms)


cdef void _ban(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, const key_digest *digest, const rl_view *parts, int64_t now_ms, rl_verdict *verdict
) noexcept nogil:
    cdef const snapshot_penalty *penalty = &domain.penalties[id]
    cdef ban_text text
    cdef ban made
    cdef char joined[KEY_TEXT_MAX]
    cdef char hashed[16]
    cdef rl_view key = tell_private(self, domain, key_join(parts, penalty.key_count, joined), hashed)
    text.domain_size = _copy(text.domain, domain.name, BAN_NAME_MAX)
    text.name_size = _copy(text.name, penalty.name, BAN_NAME_MAX)
    text.key_size = _copy(text.key, key, BAN_KEY_MAX)
    if not bans_raise(self.bans, digest, &text, penalty.steps, penalty.step_count, penalty.forgive_ms, now_ms, &made):
        return
    worker_count(mine, penalty.slot, COUNT_BANS)
    mine.made = id
    mine.made_s = _seconds(made.until_ms - now_ms)
    if verdict.decision == RL_DENY and not penalty.shadow:
        verdict.retry_after_s = max(verdict.retry_after_s, mine.made_s)


cdef uint8_t _copy(char *to, rl_view text, uint32_t most) noexcept nogil:
    cdef uint32_t size = min(text.size, most)
    if size:
        memcpy(to, text.data, size)
    return <uint8_t>size
