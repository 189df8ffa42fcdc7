# A body under every plausible reading: raw, and as arguments by its content type and by its looks.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request
from ratelimitd._ext.scan.layout cimport scan_scratch


# Looks at body_limit bytes; counts them into scan_result.bytes_inspected when some rule looks at bodies or arguments.
cdef void scan_body(scan_scratch *scratch, const rl_request *request, uint32_t body_limit, uint32_t *arguments) noexcept nogil
