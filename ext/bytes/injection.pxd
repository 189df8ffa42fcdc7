# bytes/injection.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/injection.h" nogil:
    int rl_injection_load(const char *path, char *error, uint32_t error_size)
    int rl_injection_loaded()
    int rl_detect_sqli(rl_view text, char *fingerprint)
    int rl_detect_xss(rl_view text)
    int rl_benign_sqli(rl_view text)
    int rl_benign_xss(rl_view text)
