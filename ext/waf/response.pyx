from libc.stdint cimport uint32_t
from libc.string cimport memchr, strlen

from ratelimitd._ext.core cimport rl_response, rl_view
from ratelimitd._ext.waf.body cimport body_decoded, header_of
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.fields cimport digits, field_add
from ratelimitd._ext.waf.layout cimport waf_program, waf_scratch
from ratelimitd._ext.waf.select cimport same_name

cdef rl_view NOTHING = rl_view("", 0)


cdef rl_view literal(const char *text) noexcept nogil:
    return rl_view(text, <uint32_t>strlen(text))


cdef rl_view content_type(const rl_response *response) noexcept nogil:
    """Without parameters, and without the blanks before them."""
    cdef rl_view type = header_of(response.headers, response.header_count, literal("content-type"))
    cdef const char *end = <const char *>memchr(type.data, c';', type.size) if type.size else NULL
    if end != NULL:
        type.size = <uint32_t>(end - type.data)
    while type.size and (type.data[type.size - 1] == c' ' or type.data[type.size - 1] == c'\t'):
        type.size -= 1
    return type


cdef void response_head(waf_scratch *scratch, const rl_response *response) noexcept nogil:
    cdef uint32_t i
    cdef rl_view type = content_type(response)
    field_add(scratch, WAF_RESPONSE_STATUS, NOTHING, digits(scratch, response.status))
    field_add(scratch, WAF_RESPONSE_PROTOCOL, NOTHING, response.protocol if response.protocol.size else literal("HTTP/1.1"))
    for i in range(response.header_count):
        field_add(scratch, WAF_RESPONSE_HEADERS, response.headers[i].name, response.headers[i].value)
    if type.size:
        field_add(scratch, WAF_RESPONSE_CONTENT_TYPE, NOTHING, type)


cdef bint wanted(const waf_program *program, rl_view type) noexcept nogil:
    cdef uint32_t i
    for i in range(program.response_type_count):
        if same_name(type, program.response_types[i]):
            return True
    return False


cdef uint32_t response_limit(const waf_program *program, uint32_t body_limit) noexcept nogil:
    return min(body_limit, program.response_limit) if program.response_limit else body_limit


cdef void response_body(waf_scratch *scratch, const rl_response *response, uint32_t body_limit) noexcept nogil:
    cdef rl_view body = response.body
    cdef uint32_t limit = response_limit(scratch.program, body_limit)
    scratch.response_cut = body.size > limit or response.partial_body
    if not scratch.program.response_access or not wanted(scratch.program, content_type(response)):
        if body.size or response.partial_body:
            scratch.out.inspected_all = 0
        return
    if scratch.response_cut:
        scratch.out.inspected_all = 0
    body.size = min(body.size, limit)
    scratch.out.bytes_inspected = body.size
    if not body_decoded(scratch, response.headers, response.header_count, limit, &body):
        scratch.out.inspected_all = 0
    scratch.response_size = body.size
    field_add(scratch, WAF_RESPONSE_BODY, NOTHING, body)
