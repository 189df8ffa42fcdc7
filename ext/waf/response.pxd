# The response into fields.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_response
from ratelimitd._ext.waf.layout cimport waf_program, waf_scratch

# Status line and headers, before phase 3.
cdef void response_head(waf_scratch *scratch, const rl_response *response) noexcept nogil
# The body, before phase 4: where the rules say that bodies of its content type are looked at.
cdef void response_body(waf_scratch *scratch, const rl_response *response, uint32_t body_limit) noexcept nogil
# Bytes of a body that are looked at.
cdef uint32_t response_limit(const waf_program *program, uint32_t body_limit) noexcept nogil
