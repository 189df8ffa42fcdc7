# What rules look at, read from a request field by field. A reading that meets a bound goes on with the rest as one value, so that nothing
# passes unseen, and says so in scan_result.error.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.scan.layout cimport scan_scratch

cdef enum:
    FIELDS_MAX_COOKIES = 256    # of one request; what is beyond becomes one value


cdef void scan_fields(scan_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil
