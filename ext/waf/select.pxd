# What a selector selects: a cursor over its items.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_item, waf_link, waf_scratch, waf_selector

cdef struct waf_cursor:
    const waf_selector *selector
    uint16_t sources[2]
    uint32_t at, source, source_count, limit
    uint8_t is_name

# limit: items of MATCHED_VARS to look at (what the link itself matches is not its own target).
# name is as it came, wanted lower-case.
cdef bint same_name(rl_view name, rl_view wanted) noexcept nogil
cdef void cursor_start(waf_scratch *scratch, const waf_selector *selector, uint32_t limit, waf_cursor *cursor) noexcept nogil
cdef bint cursor_next(waf_scratch *scratch, waf_cursor *cursor, waf_item *item) noexcept nogil
# How many items a counting selector counts.
cdef int64_t selector_count(waf_scratch *scratch, const waf_selector *selector, uint32_t limit) noexcept nogil
# Is a name among those of the selector?
cdef bint selector_holds(waf_scratch *scratch, const waf_selector *selector, rl_view name) noexcept nogil
# Does the variable cover a source's values (or names)?
cdef bint variable_covers(uint16_t variable, uint16_t source, bint is_name) noexcept nogil
# Is the item taken away, by the link's own exclusions or by a ctl? index: of the link.
cdef bint item_excluded(waf_scratch *scratch, const waf_link *link, uint32_t index, const waf_item *item) noexcept nogil
# "ARGS:id", "REQUEST_URI": the name of an item.
cdef rl_view item_name(waf_scratch *scratch, const waf_item *item) noexcept nogil
