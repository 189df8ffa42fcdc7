# Arguments of queries and bodies, each as a name and a value to look at.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.layout cimport scan_scratch

cdef enum:
    ARGUMENTS_MAX = 1024    # of one request; what is beyond becomes one value


# "a=1&b=2", decoded. count: arguments of the request so far.
cdef void scan_form(scan_scratch *scratch, rl_view form, uint32_t *count) noexcept nogil
# One argument that is decoded already.
cdef void scan_argument(scan_scratch *scratch, rl_view name, rl_view value, uint32_t *count) noexcept nogil
# What could not be read as arguments, as one value without a name; marks the result.
cdef void scan_leftover(scan_scratch *scratch, rl_view rest) noexcept nogil
# Percent- and plus-decoded; the text itself when there is nothing to decode, or no room.
cdef rl_view url_decoded(scan_scratch *scratch, rl_view text) noexcept nogil
