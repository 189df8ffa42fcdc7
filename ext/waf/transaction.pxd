# A request (and its response) through a program. A scratch belongs to one worker and serves any program that it was prepared for.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request, rl_response
from ratelimitd._ext.waf.layout cimport waf_moment, waf_program, waf_result, waf_scratch

cdef waf_scratch *waf_scratch_new() noexcept nogil
# 0, or -1 when out of memory. May be called while no transaction runs on the scratch.
cdef int waf_scratch_prepare(waf_scratch *scratch, const waf_program *program) noexcept nogil
cdef void waf_scratch_free(waf_scratch *scratch) noexcept nogil

# Phases 1, 2 and 5. detect: rules that would stop the request are told and go on. body_limit: bytes of the body that are looked at. Views in the
# result live until the next transaction. The moment must live as long as the call.
cdef void waf_request(
    const waf_program *program, waf_scratch *scratch, const waf_moment *moment, const rl_request *request, uint32_t body_limit, bint detect,
    waf_result *out) noexcept nogil

# Phases 3, 4 and 5 of a response. Rules of phases 1 and 2 run on its request first, for what they set and exclude, and are not told: the check
# of the request has told them. A request that one of them denies, or exempts from further request rules, has its response looked at all the
# same. What they keep between requests the check has kept, too. The result is the response's: its rules, its score, its bytes.
cdef void waf_response(
    const waf_program *program, waf_scratch *scratch, const waf_moment *moment, const rl_request *request, const rl_response *response,
    uint32_t body_limit, bint detect, waf_result *out) noexcept nogil
