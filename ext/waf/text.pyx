from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.layout cimport WAF_LITERAL, waf_item, waf_part, waf_scratch, waf_selector, waf_text
from ratelimitd._ext.waf.select cimport waf_cursor, cursor_next, cursor_start

cdef enum:
    PARTS = 16          # of a text that is filled in; the builder refuses longer ones

cdef rl_view NOTHING = rl_view("", 0)


cdef rl_view part_text(waf_scratch *scratch, const waf_part *part) noexcept nogil:
    """The first item that a reference names; nothing when there is none."""
    cdef waf_selector selector
    cdef waf_cursor cursor
    cdef waf_item item
    if part.variable == WAF_LITERAL:
        return part.name
    selector.variable = part.variable
    selector.count = 0
    selector.slot = part.slot
    selector.name_id = part.name_id
    selector.name = part.name
    selector.regex = NULL
    cursor_start(scratch, &selector, scratch.matched_count, &cursor)
    return item.value if cursor_next(scratch, &cursor, &item) else NOTHING


cdef rl_view text_fill(waf_scratch *scratch, const waf_text *text, bint lower) noexcept nogil:
    cdef rl_view filled[16]
    cdef uint32_t i
    cdef uint32_t at = 0
    cdef size_t size = 0
    cdef char *room
    if text.count == 0:
        return NOTHING
    if text.count == 1 and not lower:
        return part_text(scratch, text.parts)
    for i in range(text.count):
        filled[i] = part_text(scratch, &text.parts[i])
        size += filled[i].size
    room = arena_reserve(&scratch.memory, size + 1)
    if room == NULL:
        scratch.out.error = 1
        return NOTHING
    for i in range(text.count):
        memcpy(room + at, filled[i].data, filled[i].size)
        at += filled[i].size
    arena_commit(&scratch.memory, size)
    if lower:
        for i in range(at):
            if c'A' <= room[i] <= c'Z':
                room[i] += 32
    return rl_view(room, at)
