# The penalties of a check: is a key of it banned, and does what became of it lead to a ban?
from libc.stdint cimport int64_t

from ratelimitd._ext.core cimport rl_request, rl_verdict
from ratelimitd._ext.snapshot cimport snapshot_domain
from ratelimitd._ext.worker cimport check_shared, check_worker

# 1 when a ban denies: of those that last, the one that lasts longest. While nobody is known to be banned this is one load.
cdef bint penalties_check(check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, rl_verdict *verdict) noexcept nogil

# After the scan: counts what objected, and the score, towards bans. A ban begins with the next check; a denial's Retry-After knows of it.
# scan_watched: the scan would have denied, were it enforced. Penalties in the shadow count such denials too.
cdef void penalties_count(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, bint scan_watched, rl_verdict *verdict
) noexcept nogil
