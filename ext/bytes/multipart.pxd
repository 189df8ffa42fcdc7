# bytes/multipart.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/multipart.h" nogil:
    enum:
        RL_BOUNDARY_BYTES

    ctypedef struct rl_part:
        rl_view name
        rl_view filename
        rl_view filename_star
        rl_view content
        uint8_t is_file

    ctypedef struct rl_multipart:
        uint32_t at
        uint8_t doubtful

    int rl_multipart_boundary(rl_view content_type, rl_view *boundary)
    void rl_multipart_start(rl_multipart *reader, rl_view body, rl_view boundary)
    int rl_multipart_next(rl_multipart *reader, rl_part *part)
