from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.waf.layout cimport WAF_TOLD, waf_moment, waf_program, waf_result, waf_scratch, waf_told, waf_trace
from ratelimitd._ext.waf.store cimport value_text
from ratelimitd._ext.waf.target cimport target_text
from ratelimitd._ext.waf.transaction cimport waf_request, waf_scratch_free, waf_scratch_new, waf_scratch_prepare

FATES = ("unreached", "passed", "broken", "skipped", "removed", "fired")   # WAF_UNREACHED, ...


cdef bytes taken(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef class Watched:
    """Owns a scratch that tells."""

    cdef waf_scratch *scratch
    cdef waf_trace trace
    cdef waf_result *result

    def __cinit__(self, uint32_t links):
        self.scratch = waf_scratch_new()
        self.result = <waf_result *>calloc(1, sizeof(waf_result))
        self.trace.fates = <uint8_t *>calloc(links + 1, sizeof(uint8_t))
        self.trace.values = <uint32_t *>calloc(links + 1, sizeof(uint32_t))
        self.trace.broken = <uint32_t *>calloc(links + 1, sizeof(uint32_t))
        self.trace.scores = <uint32_t *>calloc(links + 1, sizeof(uint32_t))
        self.trace.told = <waf_told *>calloc(WAF_TOLD, sizeof(waf_told))
        if not (self.scratch and self.result and self.trace.fates and self.trace.values and self.trace.broken and self.trace.scores and self.trace.told):
            raise MemoryError
        self.scratch.trace = &self.trace

    def __dealloc__(self):
        waf_scratch_free(self.scratch)
        free(self.result)
        free(self.trace.fates)
        free(self.trace.values)
        free(self.trace.broken)
        free(self.trace.scores)
        free(self.trace.told)


cdef dict hits_of(Watched watched):
    found = {}
    cdef uint32_t i
    for i in range(watched.trace.told_count):
        target = taken(target_text(watched.scratch, &watched.trace.told[i].item)).decode()
        found.setdefault(watched.trace.told[i].link, []).append({"target": target, "value": taken(watched.trace.told[i].item.value)})
    return found


cdef dict variables_of(Watched watched):
    """What the rules' own variables hold in the end, by full name: those that the program knows by name."""
    cdef const waf_program *program = watched.scratch.program
    cdef uint32_t i
    return {
        taken(program.store_names[i]).decode("utf-8", "replace"): taken(value_text(watched.scratch, &watched.scratch.store[i]))
        for i in range(program.store_count)
        if watched.scratch.store[i].set
    }


cdef tuple waf_trace_request(const waf_program *program, const waf_moment *moment, const rl_request *request, uint32_t body_limit, bint detect):
    cdef Watched watched = Watched(program.link_count)
    cdef uint32_t i
    if waf_scratch_prepare(watched.scratch, program) != 0:
        raise MemoryError
    waf_request(program, watched.scratch, moment, request, body_limit, detect, watched.result)
    hits = hits_of(watched)
    rules = [
        {
            "link": i,
            "rule": taken(program.links[i].id).decode("utf-8", "replace"),
            "fate": FATES[watched.trace.fates[i]],
            "score": watched.trace.scores[i],
            "values": watched.trace.values[i],
            "broken": watched.trace.broken[i],
            "hits": hits.get(i, []),
        }
        for i in range(program.link_count)
        if program.links[i].first and program.links[i].phase in (1, 2, 5)
    ]
    return rules, variables_of(watched)
