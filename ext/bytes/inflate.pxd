# bytes/inflate.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/inflate.h" nogil:
    enum:
        RL_INFLATE_OK
        RL_INFLATE_TOO_LARGE
        RL_INFLATE_RATIO
        RL_INFLATE_BROKEN
        RL_INFLATE_CUT
        RL_INFLATE_UNKNOWN
        RL_INFLATE_FREE_BYTES

    ctypedef struct rl_inflater:
        pass

    ctypedef struct rl_inflate_limits:
        uint32_t size
        uint32_t ratio

    rl_inflater *rl_inflater_new()
    void rl_inflater_free(rl_inflater *inflater)
    uint64_t rl_inflate_room(uint32_t size_limit)
    int rl_inflate(rl_inflater *inflater, rl_view content_encoding, rl_view body, const rl_inflate_limits *limits,
                   char *buffer, rl_view *out)
