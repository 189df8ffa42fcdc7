# What is at hand while a program is being laid out: its memory, and the numbers of names.
from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.bytes.pcre cimport rl_pcre
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_name, waf_part, waf_program, waf_selector, waf_text

# Zeroed memory of the program's. Raises MemoryError.
cdef void *room(waf_program *program, size_t n) except NULL
cdef rl_view kept(waf_program *program, bytes text) except *
cdef const uint64_t *bit_set(waf_program *program, indices, uint32_t size) except NULL
# An open-addressing table: the id of a name is its index + 1.
cdef const waf_name *name_table(waf_program *program, list names, uint32_t *mask) except NULL
cpdef str plan_text(bytes pattern)


cdef class Builder:
    cdef waf_program *program
    cdef object blueprint
    cdef object cache_dir
    cdef dict tables           # set of bytes -> its table
    cdef list held             # addresses of databases that are wanted soon
    cdef dict slot_of          # store name -> slot
    cdef dict id_of            # spelt out name -> number
    cdef dict regexes          # (pattern, ignore_case) -> index

    cdef const rl_pcre *regex(self, bytes pattern, bint ignore_case, str origin) except NULL
    cdef void text(self, waf_text *out, tuple text) except *
    cdef void reference(self, waf_part *out, reference) except *
    cdef void selector(self, waf_selector *out, selector, str origin) except *
