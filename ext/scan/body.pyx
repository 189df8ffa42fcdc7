from libc.stdint cimport uint32_t, uint8_t
from libc.string cimport memcmp, strlen

from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.arguments cimport scan_form
from ratelimitd._ext.scan.layout cimport (
    TARGET_ARGS, TARGET_ARGS_NAMES, TARGET_BODY, TARGET_FILES_NAMES, scan_program, scan_scratch,
)
from ratelimitd._ext.scan.value cimport scan_value

cdef rl_view NOTHING = rl_view(NULL, 0)


cdef void scan_body(scan_scratch *scratch, const rl_request *request, uint32_t body_limit, uint32_t *arguments) noexcept nogil:
    cdef const scan_program *program = scratch.program
    cdef bint read = program.kinds[<int>TARGET_ARGS].wanted or program.kinds[<int>TARGET_ARGS_NAMES].wanted or program.kinds[<int>TARGET_FILES_NAMES].wanted
    cdef rl_view body = request.body
    if body.size > body_limit:
        body.size = body_limit
        scratch.out.inspected_all = 0
    if request.partial_body:
        scratch.out.inspected_all = 0
    if body.size == 0 or not (read or program.kinds[<int>TARGET_BODY].wanted):
        return
    scratch.out.bytes_inspected = body.size
    scan_value(scratch, TARGET_BODY, NOTHING, body)
    if read:
        scan_form(scratch, body, arguments)
