from libc.stdint cimport uint32_t
from libc.string cimport memchr

from ratelimitd._ext.bytes.query cimport rl_query_next, rl_url_decode
from ratelimitd._ext.core cimport rl_pair, rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.scan.layout cimport TARGET_ARGS, TARGET_ARGS_NAMES, scan_scratch
from ratelimitd._ext.scan.value cimport scan_value


cdef rl_view url_decoded(scan_scratch *scratch, rl_view text) noexcept nogil:
    cdef rl_view result = text
    cdef char *room
    if text.size == 0 or not (memchr(text.data, c'%', text.size) or memchr(text.data, c'+', text.size)):
        return text
    room = arena_reserve(&scratch.memory, text.size)
    if room == NULL:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return text
    result.data = room
    result.size = rl_url_decode(text, room)
    arena_commit(&scratch.memory, result.size)
    return result


cdef void scan_argument(scan_scratch *scratch, rl_view name, rl_view value, uint32_t *count) noexcept nogil:
    count[0] += 1
    scan_value(scratch, TARGET_ARGS_NAMES, name, name)
    scan_value(scratch, TARGET_ARGS, name, value)


cdef void scan_leftover(scan_scratch *scratch, rl_view rest) noexcept nogil:
    cdef rl_view nameless
    nameless.data = NULL
    nameless.size = 0
    scan_value(scratch, TARGET_ARGS, nameless, rest)
    scratch.out.error = 1
    scratch.out.inspected_all = 0


cdef void scan_form(scan_scratch *scratch, rl_view form, uint32_t *count) noexcept nogil:
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    cdef rl_view rest
    while count[0] < ARGUMENTS_MAX:
        if not rl_query_next(form, &cursor, &pair):
            return
        scan_argument(scratch, url_decoded(scratch, pair.name), url_decoded(scratch, pair.value), count)
    rest.data = form.data + cursor
    rest.size = form.size - cursor
    if rest.size:
        scan_leftover(scratch, url_decoded(scratch, rest))
