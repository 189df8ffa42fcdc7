# bytes/transform.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/transform.h" nogil:
    enum:
        RL_TRANSFORMATIONS

    uint32_t rl_transform_room(int kind, uint32_t size)
    uint32_t rl_byte_classes(rl_view text)
    uint32_t rl_transform_classes(int kind)
    int rl_transform(int kind, rl_view text, uint32_t classes, char *out, uint32_t *size)
