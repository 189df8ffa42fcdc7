# bytes/query.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_pair, rl_view


cdef extern from "bytes/query.h" nogil:
    int rl_query_next(rl_view query, uint32_t *cursor, rl_pair *out)
    int rl_cookie_next(rl_view cookie, uint32_t *cursor, rl_pair *out)
    uint32_t rl_url_decode(rl_view text, char *out)
    void rl_target_split(rl_view target, rl_view *path, rl_view *query)
    uint32_t rl_path_normalize(rl_view raw, char *out)
