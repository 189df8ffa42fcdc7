# The rate limit service: descriptors instead of a request, each with attributes of its own; limits alone have a say.
from libc.stdint cimport int64_t, uint32_t

from ratelimitd._ext.core cimport rl_descriptor_answer, rl_descriptor_call, rl_verdict

# rl_spine's rate_limit (core/spine.h). self is a check_shared. All descriptors count as one check: `consume` is about all of them.
cdef void rate_limit(
    void *self, uint32_t worker, int64_t now_ns, const rl_descriptor_call *call, rl_descriptor_answer *answer, rl_verdict *verdict) noexcept nogil
