# bytes/json_args.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_pair, rl_view


cdef extern from "bytes/json_args.h" nogil:
    enum:
        RL_JSON_ARGS_LEAF
        RL_JSON_ARGS_END
        RL_JSON_ARGS_INVALID
        RL_JSON_ARGS_DEEP
        RL_JSON_ARGS_WORDY

    ctypedef struct rl_json_level:
        pass

    ctypedef struct rl_json_args:
        uint32_t at

    uint64_t rl_json_args_room(uint32_t text_size, uint32_t depth_limit)
    void rl_json_args_start(rl_json_args *reader, rl_view text, char *buffer, rl_json_level *levels,
                            uint32_t depth_limit, uint64_t name_limit)
    int rl_json_args_next(rl_json_args *reader, rl_pair *leaf)
