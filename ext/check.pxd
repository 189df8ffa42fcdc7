# The decision spine: lists, then bans, then limits, then the scan. Runs on workers, without the interpreter lock.
from libc.stdint cimport int64_t, uint32_t

from ratelimitd._ext.core cimport rl_request, rl_response, rl_verdict
from ratelimitd._ext.snapshot cimport snapshot_domain
from ratelimitd._ext.worker cimport check_shared, check_worker


# rl_spine's check (core/spine.h). self is a check_shared.
cdef void check(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict) noexcept nogil

# rl_spine's inspect. No list and no limit has a say, and nothing but responses is counted.
cdef void check_response(
    void *self, uint32_t worker, int64_t now_ns, const rl_request *request, const rl_response *response, rl_verdict *verdict) noexcept nogil

# For every door: what a request of an unknown domain gets, and how a check ends (counted, perhaps logged). The worker's attributes are the request's.
cdef void check_no_policy(check_worker *mine, rl_verdict *verdict) noexcept nogil
cdef void check_finish(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil
