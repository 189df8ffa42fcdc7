from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from ratelimitd._ext.core cimport rl_view

cdef enum:
    BOUNDARY_BYTES = 200   # RFC 2046 allows 70, servers more


cdef bint is_space(char c) noexcept nogil:
    return c == c' ' or c'\t' <= c <= c'\r'


cdef uint32_t media_looks(rl_view body, rl_view *boundary) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t end
    if body.size >= 3 and memcmp(body.data, b"\xef\xbb\xbf", 3) == 0:
        i = 3
    while i < body.size and is_space(body.data[i]):
        i += 1
    if i == body.size:
        return 0
    if body.data[i] == c'{' or body.data[i] == c'[':
        return MEDIA_JSON
    if body.size - i < 3 or body.data[i] != c'-' or body.data[i + 1] != c'-':
        return 0
    end = i + 2
    while end < body.size and not is_space(body.data[end]):
        end += 1
    boundary[0] = rl_view(body.data + i + 2, end - i - 2)
    return MEDIA_MULTIPART if 0 < boundary.size <= BOUNDARY_BYTES and end < body.size else 0
