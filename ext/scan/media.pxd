# What a body claims to be, and what it looks like.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request, rl_view

# A bit set: a request may carry several content types.
cdef enum:
    MEDIA_FORM = 1
    MEDIA_MULTIPART = 2
    MEDIA_JSON = 4
    MEDIA_OTHER = 8


# The content types that the headers declare; *boundary is that of the first multipart one (empty: none). encoded: a content coding other
# than identity. doubtful: several content types or boundaries.
cdef uint32_t media_declared(const rl_request *request, rl_view *boundary, bint *encoded, bint *doubtful) noexcept nogil
# MEDIA_JSON or MEDIA_MULTIPART (with *boundary from its first line), by the first bytes; else 0.
cdef uint32_t media_looks(rl_view body, rl_view *boundary) noexcept nogil
