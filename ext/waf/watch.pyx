from libc.stdint cimport uint32_t

from ratelimitd._ext.waf.layout cimport (
    WAF_BROKEN, WAF_DONE, WAF_PASSED, WAF_REMOVED, WAF_SKIPPED, WAF_TOLD, waf_item, waf_link, waf_scratch, waf_trace,
)
from ratelimitd._ext.waf.select cimport cursor_next, cursor_start, item_excluded, waf_cursor


cdef uint32_t count_values(waf_scratch *scratch, uint32_t index) noexcept nogil:
    """The values that a link looks at now."""
    cdef const waf_link *link = &scratch.program.links[index]
    cdef uint32_t count = 0
    cdef uint32_t i
    cdef waf_cursor cursor
    cdef waf_item item
    for i in range(link.selector_count):
        if link.selectors[i].count:
            count += 1
            continue
        cursor_start(scratch, &link.selectors[i], scratch.matched_count, &cursor)
        while cursor_next(scratch, &cursor, &item):
            count += not item_excluded(scratch, link, index, &item)
    return count


cdef void watch_passed(waf_scratch *scratch, uint32_t begin, uint32_t end) noexcept nogil:
    cdef waf_trace *trace = scratch.trace
    cdef uint32_t index
    for index in range(begin, end):
        if not scratch.program.links[index].first:
            continue
        if scratch.removed[index >> 6] >> (index & 63) & 1:
            trace.fates[index] = WAF_REMOVED
            continue
        trace.fates[index] = WAF_PASSED
        trace.values[index] = count_values(scratch, index)


cdef void watch_skipped(waf_scratch *scratch, uint32_t begin, uint32_t end) noexcept nogil:
    cdef uint32_t index
    for index in range(begin, end):
        scratch.trace.fates[index] = WAF_SKIPPED


cdef void watch_broken(waf_scratch *scratch, uint32_t first, uint32_t link) noexcept nogil:
    scratch.trace.fates[first] = WAF_PASSED if link == first else WAF_BROKEN
    scratch.trace.broken[first] = link - first
    scratch.trace.values[first] = count_values(scratch, link)


cdef void watch_fired(waf_scratch *scratch, uint32_t first) noexcept nogil:
    cdef waf_trace *trace = scratch.trace
    cdef uint32_t i
    trace.fates[first] = WAF_DONE
    trace.scores[first] = scratch.rule_score
    for i in range(scratch.matched_count):
        if trace.told_count == WAF_TOLD:
            return
        trace.told[trace.told_count].link = first
        trace.told[trace.told_count].item = scratch.matched[i]
        trace.told_count += 1
