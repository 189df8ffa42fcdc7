# The scan of a check: the first route that holds chooses mode and profile, the profile's program reads the request.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_request, rl_response, rl_verdict
from ratelimitd._ext.snapshot cimport snapshot_domain, snapshot_scan
from ratelimitd._ext.waf.layout cimport waf_moment
from ratelimitd._ext.worker cimport check_shared, check_worker

cdef enum:      # plan.ScanMode
    MODE_OFF = 0
    MODE_BLOCK = 2

# The number of the profile for a request whose attributes the worker has, and plan.ScanMode.
cdef uint32_t inspect_choose(check_worker *mine, const snapshot_scan *scan, uint8_t *mode) noexcept nogil

# Where and when the scan of a request runs whose attributes the worker has: the client is the policy's, behind the proxies that it trusts.
cdef const waf_moment *inspect_moment(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request) noexcept nogil

# Adds to the verdict what the scan saw and, where it blocks, denies. A denial that stands already stays the reason.
cdef void inspect(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, rl_verdict *verdict
) noexcept nogil
# The same of what a server answered to the request.
cdef void inspect_response(
    check_shared *self, check_worker *mine, const snapshot_domain *domain, int64_t now_ns, const rl_request *request, const rl_response *response,
    rl_verdict *verdict
) noexcept nogil
