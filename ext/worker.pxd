# A worker of the data plane, and what workers share. Written by its own thread alone, but for the snapshot and the ring.
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

from ratelimitd._ext.core cimport rl_count, rl_counted, rl_load_pointer, rl_view
from ratelimitd._ext.events cimport event_ring
from ratelimitd._ext.limit.bans cimport ban_table
from ratelimitd._ext.limit.key cimport key_secret
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, counter_table, table_hit
from ratelimitd._ext.match.attributes cimport rl_attributes
from ratelimitd._ext.match.matcher cimport rl_match_scratch
from ratelimitd._ext.snapshot cimport snapshot, snapshot_rate
from ratelimitd._ext.waf.answers cimport waf_answers
from ratelimitd._ext.waf.layout cimport waf_moment, waf_result, waf_scratch
from ratelimitd._ext.waf.records cimport waf_records


# What is counted per domain, list, limit and penalty. A slot is one cache line of a worker.
cdef enum:
    COUNT_ALLOW = 0             # domain: nothing objected. list: it decided
    COUNT_BANS = 0              # penalty: it banned a key
    COUNT_ALLOW_LIST = 1
    COUNT_DENY_LIST = 2
    COUNT_STORE_LOST = 2        # limit: it denied for want of the store
    COUNT_OVER_LIMIT = 3        # limit: it denied
    COUNT_BANNED = 3            # penalty: it denied
    COUNT_SCAN = 4
    COUNT_PARTIAL_BODY = 5
    COUNT_SHADOW = 6            # would have denied
    COUNT_NEAR = 7              # limit: at 80 % or more
    COUNT_KINDS = 8
    LIMIT_NONE = 0xFFFFFFFF     # id of the limit that a descriptor brings along
    COUNT_SLOTS = 32768         # slot 0 takes what finds no slot
    RULE_SLOTS = 32768          # the same, of rules


# Of all domains.
cdef struct check_totals:
    uint64_t no_policy_allow, no_policy_deny, overload
    uint64_t scans, scan_bytes, scan_matches, scan_errors
    uint64_t responses_allowed, responses_denied, responses_watched, response_bytes   # watched: allowed, and denied in the shadow
    uint64_t limits_truncated   # more limits applied than TABLE_MAX_HITS
    uint64_t penalties_truncated


# How many events of a kind may still be logged this second.
cdef struct worker_budget:
    int64_t second
    uint32_t left
    uint32_t skipped            # since the last one that was logged


# Everything that one worker writes. Allocated alone, so that no two workers share a cache line.
cdef struct check_worker:
    snapshot *pinned            # read by the control plane: what may not be freed
    uint64_t prepared           # generation that the scratches fit
    uint8_t broken              # they could not be made to fit: out of memory
    rl_attributes *attributes
    rl_match_scratch *match_scratch
    waf_scratch *waf            # NULL until a policy scans: it is large
    waf_result found
    waf_moment moment           # of the running scan
    char client[46]             # the client's address as text
    uint32_t ids[TABLE_MAX_HITS]
    const snapshot_rate *rates[TABLE_MAX_HITS]
    table_hit hits[TABLE_MAX_HITS]
    uint8_t hit_of[TABLE_MAX_HITS]   # the state of a hit
    uint32_t by_score           # hits at the end of the array, which wait for the scan
    uint32_t surcharged         # hits at its front, if the score costs more in one of them; else 0
    uint64_t *counts            # [COUNT_SLOTS][COUNT_KINDS]
    uint64_t *rule_matches      # [RULE_SLOTS]
    check_totals totals
    event_ring ring
    uint64_t random
    uint32_t until_sample       # allowed checks until the next one is logged
    uint32_t sample_every       # ... and from one to the next at present
    uint32_t sampled            # logged in sample_second
    int64_t sample_second
    worker_budget denials
    worker_budget watched       # allowed checks that something in the shadow would have denied
    rl_view watched_list        # of this check: the first list in the shadow that objects. Only where the domain has lists
    int64_t watched_penalty     # the same: the index of a penalty, or -1. Only where the domain has penalties
    int64_t penalty             # of this check: the index of the penalty that denies
    int64_t made                # of this check: the index of the penalty that banned a key for made_s seconds, or -1. The same
    uint32_t made_s


cdef struct check_shared:
    snapshot *current           # published; swapped by the control plane
    counter_table *table
    waf_records *records        # what rules keep between requests
    waf_answers *answers        # what blocklists have said
    ban_table *bans
    key_secret *secret          # swapped by the control plane; see check_secret
    uint32_t sample             # 1 in N allowed checks is logged, or fewer; 0: none
    uint32_t allows_per_second  # what sampling thins out to, about
    uint32_t denials_per_second # logged at most; as many again of those that are only watched
    uint32_t worker_count
    check_worker **workers
    uint64_t clock_offset_ms    # the cluster's clock minus ours, signed: counters live by the cluster's. Set by the control plane


# The cluster's time, in ms.
cdef inline int64_t check_clock(const check_shared *self, int64_t now_ns) noexcept nogil:
    return now_ns // 1000000 + <int64_t>rl_counted(&self.clock_offset_ms)


# What keys are hashed under: the same for a whole turn only if nobody swaps it.
cdef inline const key_secret *check_secret(const check_shared *self) noexcept nogil:
    return <const key_secret *>rl_load_pointer(<void **>&self.secret)


cdef inline void worker_count(check_worker *self, uint32_t slot, uint32_t kind) noexcept nogil:
    rl_count(&self.counts[slot * COUNT_KINDS + kind], 1)


cdef check_worker *worker_new(uint64_t seed) noexcept nogil
cdef void worker_free(check_worker *worker) noexcept nogil

# Two thirds of rl_spine (core/spine.h). self is a check_shared.
cdef void worker_enter(void *self, uint32_t worker) noexcept nogil
cdef void worker_leave(void *self, uint32_t worker) noexcept nogil
