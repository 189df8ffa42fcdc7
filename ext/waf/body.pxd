# The request's body into fields.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch

# What the content type says of the body, before phase 1.
cdef void body_start(waf_scratch *scratch, const rl_request *request) noexcept nogil
# Reads the body, after phase 1, by the processor that is set now.
cdef void body_read(waf_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil

# The first value of a header; name is lower-case.
cdef rl_view header_of(const rl_pair *headers, uint32_t count, rl_view name) noexcept nogil
# Takes the codings that the headers name off. 0: they cannot be taken off whole; what came off is in body.
cdef bint body_decoded(waf_scratch *scratch, const rl_pair *headers, uint32_t count, uint32_t body_limit, rl_view *body) noexcept nogil
