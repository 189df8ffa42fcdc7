# The decision spine: lists, then limits, then the scan. Everything here runs on workers, without the interpreter lock.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_request, rl_verdict, rl_view
from ratelimitd._ext.events cimport event_ring
from ratelimitd._ext.limit.key cimport key_digest, key_secret
from ratelimitd._ext.limit.table cimport TABLE_MAX_HITS, counter_table, table_hit
from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.match.attributes cimport rl_attributes
from ratelimitd._ext.match.matcher cimport rl_match_scratch
from ratelimitd._ext.scan.layout cimport scan_result, scan_scratch
from ratelimitd._ext.snapshot cimport snapshot, snapshot_domain, snapshot_limit, snapshot_rate


# What is counted per domain, list and limit. A slot is one cache line of a worker.
cdef enum:
    COUNT_ALLOW = 0             # domain: nothing objected. list: it decided
    COUNT_ALLOW_LIST = 1
    COUNT_DENY_LIST = 2
    COUNT_OVER_LIMIT = 3        # limit: it denied
    COUNT_SCAN = 4
    COUNT_PARTIAL_BODY = 5
    COUNT_SHADOW = 6            # would have denied
    COUNT_NEAR = 7              # limit: at 80 % or more
    COUNT_KINDS = 8
    COUNT_SLOTS = 32768         # slot 0 takes what finds no slot


# Of all domains.
cdef struct check_totals:
    uint64_t no_policy_allow, no_policy_deny, overload
    uint64_t scans, scan_bytes, scan_matches, scan_errors
    uint64_t limits_truncated   # more limits applied than TABLE_MAX_HITS


# Everything that one worker writes. Allocated alone, so that no two workers share a cache line.
cdef struct check_worker:
    snapshot *pinned            # read by the control plane: what may not be freed
    uint64_t prepared           # generation that the scratches fit
    uint8_t broken              # they could not be made to fit: out of memory
    rl_attributes *attributes
    rl_match_scratch *match_scratch
    scan_scratch *scan_scratch_
    scan_result scanned
    uint32_t ids[TABLE_MAX_HITS]
    const snapshot_rate *rates[TABLE_MAX_HITS]
    table_hit hits[TABLE_MAX_HITS]
    uint8_t hit_of[TABLE_MAX_HITS]
    uint64_t *counts            # [COUNT_SLOTS][COUNT_KINDS]
    check_totals totals
    event_ring ring
    uint64_t random
    uint32_t until_sample       # allowed checks until the next one is logged
    uint32_t sample_every       # ... and from one to the next at present
    uint32_t sampled            # logged in sample_second
    int64_t sample_second
    uint32_t denials_left       # of this second
    uint32_t denials_skipped
    int64_t denials_second


cdef struct check_shared:
    snapshot *current           # published; swapped by the control plane
    counter_table *table
    key_secret secret
    uint32_t sample             # 1 in N allowed checks is logged, or fewer; 0: none
    uint32_t allows_per_second  # what sampling thins out to, about
    uint32_t denials_per_second
    uint32_t worker_count
    check_worker **workers


cdef check_worker *worker_new(uint64_t seed) noexcept nogil
cdef void worker_free(check_worker *worker) noexcept nogil

# rl_spine. self is a check_shared.
cdef void check_enter(void *self, uint32_t worker) noexcept nogil
cdef void check_leave(void *self, uint32_t worker) noexcept nogil
cdef void check(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict) noexcept nogil

# The digest of a limit's key from its parts' values (a missing part is an empty view).
cdef void check_digest(const key_secret *secret, const snapshot_limit *limit, const rl_view *parts, key_digest *out) noexcept nogil
# The rate of a key: the limit's own or an override's. text: the parts joined by "|".
cdef const snapshot_rate *check_rate(const snapshot_limit *limit, rl_view text, const rl_address *client) noexcept nogil
