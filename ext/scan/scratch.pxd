# A worker's memory for scans.
from ratelimitd._ext.scan.layout cimport scan_program, scan_scratch


cdef scan_scratch *scratch_make() noexcept nogil
cdef int scratch_grow(scan_scratch *scratch, const scan_program *program) noexcept nogil
cdef void scratch_destroy(scan_scratch *scratch) noexcept nogil
