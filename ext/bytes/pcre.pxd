# bytes/pcre.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/pcre.h" nogil:
    enum:
        RL_PCRE_CASELESS
        RL_PCRE_NONE
        RL_PCRE_LIMIT
        RL_PCRE_ERROR
        RL_PCRE_GROUPS

    ctypedef struct rl_pcre:
        pass

    ctypedef struct rl_pcre_scratch:
        pass

    ctypedef struct rl_span:
        uint32_t begin
        uint32_t end

    rl_pcre *rl_pcre_compile(rl_view pattern, int flags, char *error, uint32_t error_size, uint32_t *at)
    void rl_pcre_free(rl_pcre *pattern)
    rl_pcre_scratch *rl_pcre_scratch_new(uint32_t match_limit)
    void rl_pcre_scratch_free(rl_pcre_scratch *scratch)
    int rl_pcre_match(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t start, rl_span *spans)
    int rl_pcre_next(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t *cursor, rl_span *spans)
    int rl_pcre_verify(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, int (*check)(rl_view) noexcept nogil, rl_span *found)
