# The limits of a check: which apply, what their counters say, who denies.
from libc.stdint cimport int64_t, uint32_t

from ratelimitd._ext.core cimport rl_request, rl_verdict
from ratelimitd._ext.snapshot cimport snapshot_domain
from ratelimitd._ext.worker cimport check_shared, check_worker

# Fills the verdict's states, charges, and denies when a limit objects. Limits by score are only looked at: they object when nothing is left.
cdef void limits_decide(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil

# After the scan: charges the limits by score, and what the score costs in the others, whatever was decided, unless a limit had denied before. A
# charge is at most the limit itself, and one that had nothing left is charged no more, so that a token bucket, too, is free again within two windows.
cdef void limits_charge_score(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil

# Resolves the key and the rate of limit `id` into state `at` and hit `hit`. 0 when a missing key part makes the limit not apply.
cdef bint limits_begin_state(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t id, uint32_t cost, rl_verdict *verdict, uint32_t at, uint32_t hit
) noexcept nogil

# Decides the worker's first `hits` hits as the domain's `consume` says. 1 when one that is enforced is over.
cdef bint limits_charge(check_shared *self, check_worker *mine, const snapshot_domain *domain, uint32_t hits, bint dry, int64_t now_ns) noexcept nogil
