# bytes/pairs.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_pair, rl_view


cdef extern from "bytes/pairs.h" nogil:
    int rl_pairs_next(rl_view text, char separator, uint32_t *cursor, rl_pair *out)
    rl_view rl_pairs_decode(rl_view text, char *out, int *invalid)
    int rl_pairs_cookie(rl_view header, uint32_t *cursor, rl_pair *out)
