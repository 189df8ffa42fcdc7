# What became of each rule for one request. For people: slow, on a scratch of its own.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request
from ratelimitd._ext.waf.layout cimport waf_moment, waf_program

# As _engine.pyi describes them: dicts, one for each rule of the phases that a request runs through, and the rules' variables.
cdef tuple waf_trace_request(const waf_program *program, const waf_moment *moment, const rl_request *request, uint32_t body_limit, bint detect)
