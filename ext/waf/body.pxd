# The request's body into fields.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request
from ratelimitd._ext.waf.layout cimport waf_scratch

# What the content type says of the body, before phase 1.
cdef void body_start(waf_scratch *scratch, const rl_request *request) noexcept nogil
# Reads the body, after phase 1, by the processor that is set now.
cdef void body_read(waf_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil
