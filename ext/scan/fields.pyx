from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp

from ratelimitd._ext.bytes.query cimport rl_cookie_next
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.arguments cimport scan_form
from ratelimitd._ext.scan.body cimport scan_body
from ratelimitd._ext.scan.layout cimport (
    TARGET_ARGS, TARGET_ARGS_NAMES, TARGET_COOKIES, TARGET_COOKIES_NAMES, TARGET_HEADERS, TARGET_HEADERS_NAMES, TARGET_HOST,
    TARGET_METHOD, TARGET_PATH, TARGET_QUERY, scan_program, scan_scratch,
)
from ratelimitd._ext.scan.value cimport scan_value

cdef rl_view NOTHING = rl_view(NULL, 0)


cdef bint wanted(const scan_program *program, uint32_t kind) noexcept nogil:
    return program.kinds[kind].wanted


cdef void split(rl_view target, rl_view *path, rl_view *query) noexcept nogil:
    """Path and query, both with all that was sent: an origin stays in the path and a fragment where it is, since servers differ in what
    they make of them."""
    cdef const char *mark = <const char *>memchr(target.data, c'?', target.size) if target.size else NULL
    path[0] = target
    query[0] = NOTHING
    if mark:
        path.size = <uint32_t>(mark - target.data)
        query.data = mark + 1
        query.size = target.size - path.size - 1


cdef void scan_cookies(scan_scratch *scratch, rl_view header, uint32_t *count) noexcept nogil:
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    cdef rl_view rest
    while count[0] < FIELDS_MAX_COOKIES:
        if not rl_cookie_next(header, &cursor, &pair):
            return
        scan_value(scratch, TARGET_COOKIES_NAMES, pair.name, pair.name)
        scan_value(scratch, TARGET_COOKIES, pair.name, pair.value)
        count[0] += 1
    rest.data = header.data + cursor
    rest.size = header.size - cursor
    if rest.size:
        scan_value(scratch, TARGET_COOKIES, NOTHING, rest)
        scratch.out.error = 1
        scratch.out.inspected_all = 0


cdef void scan_headers(scan_scratch *scratch, const rl_request *request) noexcept nogil:
    cdef const scan_program *program = scratch.program
    cdef bint values = wanted(program, TARGET_HEADERS)
    cdef bint names = wanted(program, TARGET_HEADERS_NAMES)
    cdef bint cookies = wanted(program, TARGET_COOKIES) or wanted(program, TARGET_COOKIES_NAMES)
    cdef uint32_t cookie_count = 0
    cdef uint32_t i
    cdef const rl_pair *header
    if not (values or names or cookies):
        return
    for i in range(request.header_count):
        header = &request.headers[i]
        if names:
            scan_value(scratch, TARGET_HEADERS_NAMES, header.name, header.name)
        if values:
            scan_value(scratch, TARGET_HEADERS, header.name, header.value)
        if cookies and header.name.size == 6 and memcmp(header.name.data, b"cookie", 6) == 0:
            scan_cookies(scratch, header.value, &cookie_count)


cdef void scan_fields(scan_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil:
    cdef const scan_program *program = scratch.program
    cdef uint32_t arguments = 0
    cdef rl_view path
    cdef rl_view query
    split(request.path, &path, &query)
    scan_value(scratch, TARGET_METHOD, NOTHING, request.method)
    scan_value(scratch, TARGET_HOST, NOTHING, request.host)
    scan_value(scratch, TARGET_PATH, NOTHING, path)
    scan_value(scratch, TARGET_QUERY, NOTHING, query)
    if wanted(program, TARGET_ARGS) or wanted(program, TARGET_ARGS_NAMES):
        scan_form(scratch, query, &arguments)
    scan_headers(scratch, request)
    scan_body(scratch, request, body_limit, &arguments)
