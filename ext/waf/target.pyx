from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, strlen

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.constants cimport waf_variable_names
from ratelimitd._ext.waf.layout cimport WAF_LITERAL, waf_item, waf_scratch

cdef enum:
    NAME_BYTES = 96   # of a field's name; what is longer is cut


cdef uint32_t printable(rl_view name, char *out) noexcept nogil:
    """Percent-encodes what is not visible ASCII. At most three times the size."""
    cdef const char *digits = "0123456789ABCDEF"
    cdef uint32_t size = 0
    cdef uint32_t i
    cdef uint8_t c
    for i in range(name.size):
        c = <uint8_t>name.data[i]
        if 0x20 < c < 0x7f and c != c'%':
            out[size] = <char>c
            size += 1
        else:
            out[size] = c'%'
            out[size + 1] = digits[c >> 4]
            out[size + 2] = digits[c & 15]
            size += 3
    return size


cdef rl_view target_text(waf_scratch *scratch, const waf_item *item) noexcept nogil:
    cdef rl_view name = item.name
    cdef rl_view variable = rl_view("", 0)
    cdef char *room
    if item.variable == WAF_LITERAL:
        return variable
    variable.data = waf_variable_names[item.variable]
    variable.size = <uint32_t>strlen(variable.data)
    if name.size == 0:
        return variable
    name.size = min(name.size, <uint32_t>NAME_BYTES)
    room = arena_reserve(&scratch.memory, variable.size + 1 + 3 * name.size)
    if room == NULL:
        return variable
    memcpy(room, variable.data, variable.size)
    room[variable.size] = c':'
    variable.size += 1 + printable(name, room + variable.size + 1)
    variable.data = room
    arena_commit(&scratch.memory, variable.size)
    return variable
