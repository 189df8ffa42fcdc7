# What a scan tells of each rule to who asks why (scratch.trace). Nobody does on the data plane: then none of these is called.
from libc.stdint cimport uint32_t

from ratelimitd._ext.waf.layout cimport waf_scratch

# Links in [begin, end) had their turn and were not run: scanning found nothing for them, or they were removed.
cdef void watch_passed(waf_scratch *scratch, uint32_t begin, uint32_t end) noexcept nogil
# A rule that fired skips them.
cdef void watch_skipped(waf_scratch *scratch, uint32_t begin, uint32_t end) noexcept nogil
# A chain ended at a link that did not match.
cdef void watch_broken(waf_scratch *scratch, uint32_t first, uint32_t link) noexcept nogil
# The rule that begins at a link matched whole.
cdef void watch_fired(waf_scratch *scratch, uint32_t first) noexcept nogil
