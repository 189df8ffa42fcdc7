# Values through the transformations and the databases: what matches is kept as hits, by link.
from libc.stdint cimport uint16_t, uint32_t

from ratelimitd._ext.waf.layout cimport waf_scratch

cdef void hits_begin(waf_scratch *scratch) noexcept nogil
# Scans the values and the names of a source's fields, from a field (index + 1) to the end of its list.
cdef void scan_source(waf_scratch *scratch, uint16_t source, uint32_t first) noexcept nogil
