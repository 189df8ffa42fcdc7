# What goes to the log ring: sampled allows, rate-capped denials, enforced or in the shadow, each with a weight for those that were left out.
from libc.stdint cimport int64_t, uint32_t

from ratelimitd._ext.core cimport rl_request, rl_verdict, rl_view
from ratelimitd._ext.snapshot cimport snapshot_domain
from ratelimitd._ext.worker cimport check_shared, check_worker, worker_budget


# What the next sample stands for.
cdef uint32_t tell_sample(check_shared *self, check_worker *mine, int64_t now_ns) noexcept nogil
# May this denial, or denial in the shadow, be told? Then *weight counts it and those that were not.
cdef bint tell_may_deny(const check_shared *self, worker_budget *budget, int64_t now_ns, uint32_t *weight) noexcept nogil
cdef void tell(
    const check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, const rl_verdict *verdict, uint32_t weight, bint response
) noexcept nogil
# A key's text as it is or, when the policy wants keys hidden, its keyed hash in room[16].
cdef rl_view tell_private(const check_shared *self, const snapshot_domain *domain, rl_view text, char *room) noexcept nogil
