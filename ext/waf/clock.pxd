# The TIME variables: the clock on the wall, in the zone of the process.
from libc.stdint cimport uint16_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch

cdef bint is_time(uint16_t variable) noexcept nogil
cdef rl_view time_text(waf_scratch *scratch, uint16_t variable) noexcept nogil
