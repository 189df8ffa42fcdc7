from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.layout cimport WAF_DYNAMIC, waf_dynamic, waf_program, waf_scratch, waf_value

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)

cdef extern from *:
    bint add_overflows "__builtin_add_overflow"(int64_t a, int64_t b, int64_t *sum) noexcept nogil

cdef enum:
    DIGITS = 24
    NUMBER_MAX = 922337203685477579


cdef rl_view collection_of(uint16_t variable) noexcept nogil:
    if variable == WAF_IP:
        return rl_view("ip.", 3)
    if variable == WAF_GLOBAL:
        return rl_view("global.", 7)
    if variable == WAF_SESSION:
        return rl_view("session.", 8)
    if variable == WAF_USER:
        return rl_view("user.", 5)
    if variable == WAF_RESOURCE:
        return rl_view("resource.", 9)
    if variable == WAF_GEO:
        return rl_view("geo.", 4)
    return rl_view("tx.", 3)


cdef void store_begin(waf_scratch *scratch) noexcept nogil:
    memcpy(scratch.store, scratch.program.initial, scratch.program.store_count * sizeof(waf_value))
    scratch.dynamic_count = 0


cdef bint same(rl_view a, rl_view b) noexcept nogil:
    return a.size == b.size and memcmp(a.data, b.data, a.size) == 0


cdef int32_t store_slot(waf_scratch *scratch, rl_view name) noexcept nogil:
    cdef const waf_program *program = scratch.program
    cdef uint32_t at = <uint32_t>rl_hash(name) & program.store_mask
    while program.store_index[at].id:
        if same(program.store_index[at].name, name):
            return <int32_t>program.store_index[at].id - 1
        at = (at + 1) & program.store_mask
    return -1


cdef waf_value *store_at(waf_scratch *scratch, int32_t slot, rl_view name, bint create) noexcept nogil:
    cdef uint64_t hash
    cdef uint32_t at
    cdef waf_dynamic *entry
    if slot < 0:
        slot = store_slot(scratch, name)
    if slot >= 0:
        return &scratch.store[slot]
    hash = rl_hash(name)
    at = <uint32_t>hash & (WAF_DYNAMIC - 1)
    while True:
        entry = &scratch.dynamic[at]
        if entry.round != scratch.round:
            break
        if entry.hash == hash and same(entry.name, name):
            return &entry.value
        at = (at + 1) & (WAF_DYNAMIC - 1)
    if not create:
        return NULL
    if scratch.dynamic_count == WAF_DYNAMIC // 2:
        scratch.out.error = 1
        return NULL
    entry.round = scratch.round
    entry.hash = hash
    entry.name = name
    entry.value.set = entry.value.has_text = entry.value.has_number = 0
    scratch.dynamic_order[scratch.dynamic_count] = at
    scratch.dynamic_count += 1
    return &entry.value


cdef int64_t number_of(rl_view text) noexcept nogil:
    cdef uint32_t i = 0
    cdef int64_t number = 0
    cdef bint negative = False
    while i < text.size and (text.data[i] == c' ' or c'\t' <= text.data[i] <= c'\r'):
        i += 1
    if i < text.size and (text.data[i] == c'-' or text.data[i] == c'+'):
        negative = text.data[i] == c'-'
        i += 1
    while i < text.size and c'0' <= text.data[i] <= c'9' and number < NUMBER_MAX:
        number = number * 10 + (text.data[i] - c'0')
        i += 1
    return -number if negative else number


cdef int64_t number_sum(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t sum
    if add_overflows(a, b, &sum):
        return <int64_t>0x7fffffffffffffff if b > 0 else -<int64_t>0x7fffffffffffffff
    return sum


cdef rl_view value_text(waf_scratch *scratch, waf_value *value) noexcept nogil:
    cdef uint64_t rest
    cdef uint32_t at = DIGITS
    cdef char *room
    if value.has_text:
        return value.text
    value.text.data = ""
    value.text.size = 0
    if not value.set:
        return value.text
    room = arena_reserve(&scratch.memory, DIGITS)
    if room == NULL:
        scratch.out.error = 1
        return value.text
    rest = <uint64_t>value.number if value.number >= 0 else 0 - <uint64_t>value.number
    while True:
        at -= 1
        room[at] = <char>(c'0' + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if value.number < 0:
        at -= 1
        room[at] = c'-'
    arena_commit(&scratch.memory, DIGITS)
    value.text.data = room + at
    value.text.size = DIGITS - at
    value.has_text = 1
    return value.text


cdef int64_t value_number(waf_value *value) noexcept nogil:
    if not value.set:
        return 0
    if not value.has_number:
        value.number = number_of(value.text)
        value.has_number = 1
    return value.number


cdef void value_set_text(waf_value *value, rl_view text) noexcept nogil:
    value.text = text
    value.set = value.has_text = 1
    value.has_number = 0


cdef void value_set_number(waf_value *value, int64_t number) noexcept nogil:
    value.number = number
    value.set = value.has_number = 1
    value.has_text = 0


cdef void value_unset(waf_value *value) noexcept nogil:
    value.set = value.has_text = value.has_number = 0
