# bytes/uri.h, for Cython; the header holds the documentation.
from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/uri.h" nogil:
    ctypedef struct rl_uri:
        rl_view uri
        rl_view filename
        rl_view basename
        rl_view query

    void rl_uri_read(rl_view target, char *buffer, rl_uri *out)
