# What a body looks like, whatever it claims to be.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view

cdef enum:
    MEDIA_MULTIPART = 2
    MEDIA_JSON = 4


# MEDIA_JSON or MEDIA_MULTIPART (with *boundary from its first line), by the first bytes; else 0.
cdef uint32_t media_looks(rl_view body, rl_view *boundary) noexcept nogil
