from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from ratelimitd._ext.bytes.pcre cimport rl_pcre
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_zeroed
from ratelimitd._ext.waf.layout cimport WAF_LITERAL, waf_name, waf_part, waf_program, waf_selector, waf_text
from ratelimitd._ext.waf.regexes cimport regex_acquire

from ratelimitd._ext.waf import blueprint as plan
from ratelimitd.errors import EngineError

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)


# ---- memory

cdef void *room(waf_program *program, size_t n) except NULL:
    cdef void *memory = arena_zeroed(&program.memory, n if n else 1)
    if memory == NULL:
        raise MemoryError
    return memory


cdef rl_view kept(waf_program *program, bytes text) except *:
    cdef rl_view view
    cdef char *data = <char *>room(program, len(text) + 1)
    memcpy(data, <const char *>text, len(text))
    view.data = data
    view.size = <uint32_t>len(text)
    return view


cdef const uint64_t *bit_set(waf_program *program, indices, uint32_t size) except NULL:
    cdef uint64_t *words = <uint64_t *>room(program, (size + 63) // 64 * 8 + 8)
    cdef uint32_t index
    for index in indices:
        words[index >> 6] |= <uint64_t>1 << (index & 63)
    return words


cdef const waf_name *name_table(waf_program *program, list names, uint32_t *mask) except NULL:
    cdef uint32_t size = 2
    cdef uint32_t at
    while size < 2 * len(names):
        size *= 2
    cdef waf_name *table = <waf_name *>room(program, size * sizeof(waf_name))
    for i, name in enumerate(names):
        view = kept(program, name)
        at = <uint32_t>rl_hash(view) & (size - 1)
        while table[at].id:
            at = (at + 1) & (size - 1)
        table[at].name = view
        table[at].id = i + 1
    mask[0] = size - 1
    return table


cpdef str plan_text(bytes pattern):
    return pattern.decode("utf-8", "backslashreplace")


# ---- what many structs have

cdef class Builder:
    def __init__(self, blueprint, cache_dir):
        self.blueprint = blueprint
        self.cache_dir = cache_dir
        self.slot_of = {name: i for i, name in enumerate(blueprint.store)}
        self.id_of = {name: i + 1 for i, name in enumerate(blueprint.names)}
        self.tables = {}
        self.regexes = {}
        self.held = []

    cdef const rl_pcre *regex(self, bytes pattern, bint ignore_case, str origin) except NULL:
        cdef uint32_t index = self.program.regex_count
        key = (pattern, ignore_case)
        if key in self.regexes:
            index = self.regexes[key]
            return <const rl_pcre *>self.program.regexes[index].thing
        self.program.regexes[index] = regex_acquire(pattern, ignore_case, origin)
        self.program.regex_count += 1
        self.regexes[key] = index
        return <const rl_pcre *>self.program.regexes[index].thing

    cdef void text(self, waf_text *out, tuple text) except *:
        cdef waf_part *parts = <waf_part *>room(self.program, len(text) * sizeof(waf_part))
        for i, part in enumerate(text):
            if isinstance(part, bytes):
                parts[<uint32_t>i].variable = WAF_LITERAL
                parts[<uint32_t>i].name = kept(self.program, part)
                continue
            self.reference(&parts[<uint32_t>i], part)
        out.parts = parts
        out.count = <uint32_t>len(text)
        if out.count > 16:
            raise EngineError("a text with more than 16 parts")

    cdef void reference(self, waf_part *out, reference) except *:
        name = reference.name
        out.slot = -1
        if plan.is_store(reference.variable) and name:
            name = plan.store_name(reference.variable, name)
            out.slot = self.slot_of[name]
        out.variable = int(reference.variable)
        out.name_id = self.id_of.get(name, 0)
        out.name = kept(self.program, name)

    cdef void selector(self, waf_selector *out, selector, str origin) except *:
        name = selector.name
        out.slot = -1
        if plan.is_store(selector.variable) and name and not selector.exclude:
            name = plan.store_name(selector.variable, name)
            out.slot = self.slot_of[name]
        out.variable = int(selector.variable)
        out.count = selector.count
        out.name_id = self.id_of.get(name, 0) if plan.sources_of(selector.variable)[0] else 0
        out.name = kept(self.program, name)
        if selector.regex:
            out.regex = self.regex(selector.regex, True, origin)
