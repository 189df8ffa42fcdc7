# Requests and verdicts as Python values.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport RL_MAX_ATTRIBUTES, RL_MAX_HEADERS, rl_pair, rl_request, rl_response, rl_verdict, rl_view


# What keeps the bytes of views alive.
cdef class Kept:
    cdef list kept

    cdef rl_view view(self, object value)
    cdef uint32_t pairs(self, rl_pair *out, object pairs, uint32_t most, str what, bint lower) except? 0


cdef class Request(Kept):
    cdef rl_request data
    cdef rl_pair headers[RL_MAX_HEADERS]
    cdef rl_pair attributes[RL_MAX_ATTRIBUTES]


cdef class Response(Kept):
    cdef rl_response data
    cdef rl_pair headers[RL_MAX_HEADERS]


cdef bytes to_bytes(object value)
cdef str to_text(rl_view view)
# The answer of Engine.check, see _engine.pyi.
cdef dict verdict_dict(const rl_verdict *verdict)
