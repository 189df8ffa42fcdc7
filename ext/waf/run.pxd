# Runs the rules of a phase.
from libc.stdint cimport uint32_t

from ratelimitd._ext.waf.layout cimport waf_scratch

cdef void run_phase(waf_scratch *scratch, uint32_t phase) noexcept nogil
