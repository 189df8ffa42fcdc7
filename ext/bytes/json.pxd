# bytes/json.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_pair, rl_view


cdef extern from "bytes/json.h" nogil:
    enum:
        RL_JSON_DEPTH
        RL_JSON_LEAF
        RL_JSON_END
        RL_JSON_INVALID
        RL_JSON_DEEP

    ctypedef struct rl_json:
        uint32_t at

    void rl_json_start(rl_json *reader, rl_view text, char *buffer)
    int rl_json_next(rl_json *reader, rl_pair *leaf)
