from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcpy

from ratelimitd._ext.bytes.json cimport RL_JSON_END, RL_JSON_LEAF, rl_json, rl_json_next, rl_json_start
from ratelimitd._ext.bytes.multipart cimport rl_multipart, rl_multipart_next, rl_multipart_start, rl_part
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.scan.arguments cimport ARGUMENTS_MAX, scan_argument, scan_form, scan_leftover, url_decoded
from ratelimitd._ext.scan.layout cimport (
    TARGET_ARGS, TARGET_ARGS_NAMES, TARGET_BODY, TARGET_FILES_NAMES, scan_kind, scan_scratch,
)
from ratelimitd._ext.scan.media cimport MEDIA_FORM, MEDIA_JSON, MEDIA_MULTIPART, media_declared, media_looks
from ratelimitd._ext.scan.value cimport scan_value

cdef rl_view NOTHING = rl_view(NULL, 0)


cdef rl_view rest_of(rl_view body, uint32_t at) noexcept nogil:
    cdef rl_view rest
    rest.data = body.data + at
    rest.size = body.size - at
    return rest


cdef bint copied(scan_scratch *scratch, rl_view *text) noexcept nogil:
    """Moves the text into the scan's memory."""
    cdef char *room
    if text.size == 0:
        return True
    room = arena_reserve(&scratch.memory, text.size)
    if room == NULL:
        return False
    memcpy(room, text.data, text.size)
    arena_commit(&scratch.memory, text.size)
    text.data = room
    return True


cdef void scan_json(scan_scratch *scratch, rl_view body, uint32_t *arguments, bint declared) noexcept nogil:
    """Leaves as arguments. A body that only looks like JSON is read as far as it is some."""
    cdef rl_json reader
    cdef rl_pair leaf
    cdef char *buffer = arena_reserve(&scratch.memory, 2 * <size_t>body.size)
    cdef int status = RL_JSON_LEAF
    if buffer == NULL:
        scan_leftover(scratch, body)
        return
    arena_commit(&scratch.memory, 2 * <size_t>body.size)
    rl_json_start(&reader, body, buffer)
    while arguments[0] < ARGUMENTS_MAX:
        status = rl_json_next(&reader, &leaf)
        if status != RL_JSON_LEAF:
            break
        if not copied(scratch, &leaf.name):
            scan_leftover(scratch, body)
            return
        scan_argument(scratch, leaf.name, leaf.value, arguments)
    if status == RL_JSON_END or status != RL_JSON_LEAF and not declared:
        return
    scan_leftover(scratch, rest_of(body, reader.at))


cdef rl_view unquoted_charset(rl_view star) noexcept nogil:
    """The text of "UTF-8''name" (RFC 8187)."""
    cdef const char *quote
    cdef int i
    for i in range(2):
        quote = <const char *>memchr(star.data, c"'", star.size) if star.size else NULL
        if quote == NULL:
            return star
        star = rest_of(star, <uint32_t>(quote + 1 - star.data))
    return star


cdef void scan_multipart(scan_scratch *scratch, rl_view body, rl_view boundary, uint32_t *arguments, bint declared) noexcept nogil:
    """Parts as arguments, those with a file name as files: of these the names alone."""
    cdef rl_multipart reader
    cdef rl_part part
    cdef int status = 1
    rl_multipart_start(&reader, body, boundary)
    while arguments[0] < ARGUMENTS_MAX:
        status = rl_multipart_next(&reader, &part)
        if status != 1:
            break
        if not part.is_file:
            scan_argument(scratch, part.name, part.content, arguments)
            continue
        arguments[0] += 1
        scan_value(scratch, TARGET_ARGS_NAMES, part.name, part.name)
        scan_value(scratch, TARGET_FILES_NAMES, part.name, part.filename)
        scan_value(scratch, TARGET_FILES_NAMES, part.name, url_decoded(scratch, unquoted_charset(part.filename_star)))
    if not declared:
        return
    if reader.doubtful:
        scan_leftover(scratch, body)   # another reader may find other parts
    elif status != 0:
        scan_leftover(scratch, rest_of(body, reader.at))


cdef void scan_arguments(scan_scratch *scratch, const rl_request *request, rl_view body, uint32_t *arguments) noexcept nogil:
    """The readings: those that the content type declares, and the one that the first bytes suggest. Without a content type a body that looks
    like nothing else is a form."""
    cdef rl_view boundary
    cdef rl_view looked_boundary
    cdef bint encoded
    cdef bint doubtful
    cdef uint32_t declared = media_declared(request, &boundary, &encoded, &doubtful)
    cdef uint32_t looks = media_looks(body, &looked_boundary)
    if declared & MEDIA_JSON:
        scan_json(scratch, body, arguments, True)
    elif looks == MEDIA_JSON:
        scan_json(scratch, body, arguments, False)
    if declared & MEDIA_MULTIPART and boundary.size:
        scan_multipart(scratch, body, boundary, arguments, True)
    elif looks == MEDIA_MULTIPART:
        scan_multipart(scratch, body, looked_boundary, arguments, bool(declared & MEDIA_MULTIPART))
    elif declared & MEDIA_MULTIPART:
        scan_leftover(scratch, body)
    if declared & MEDIA_FORM or declared == 0 and looks == 0:
        scan_form(scratch, body, arguments)
    if encoded or doubtful or declared & MEDIA_MULTIPART and boundary.size == 0:
        scratch.out.error = 1
        scratch.out.inspected_all = 0


cdef void scan_body(scan_scratch *scratch, const rl_request *request, uint32_t body_limit, uint32_t *arguments) noexcept nogil:
    cdef const scan_kind *kinds = &scratch.program.kinds[0]
    cdef uint8_t error = scratch.out.error
    cdef bint read = kinds[<int>TARGET_ARGS].wanted or kinds[<int>TARGET_ARGS_NAMES].wanted or kinds[<int>TARGET_FILES_NAMES].wanted
    cdef rl_view body = request.body
    cdef bint cut = body.size > body_limit or request.partial_body
    if cut:
        scratch.out.inspected_all = 0
    if body.size > body_limit:
        body.size = body_limit
    if body.size == 0 or not (read or kinds[<int>TARGET_BODY].wanted):
        return
    scratch.out.bytes_inspected = body.size
    scan_value(scratch, TARGET_BODY, NOTHING, body)
    if read:
        scan_arguments(scratch, request, body, arguments)
        if cut:
            scratch.out.error = error   # that a cut body does not end well is no news
