from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.scan.layout cimport scan_lane, scan_program, scan_result, scan_scratch, scan_slot
from ratelimitd._ext.scan.program cimport program_build, program_free, program_scan, scratch_free, scratch_new, scratch_prepare


cdef bytes taken(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef class Trace:
    """What the watcher of a scratch is told."""

    cdef const scan_program *program
    cdef list chains     # of each rule, as a bit
    cdef list fields

    cdef list looking(self, const scan_slot *slot, uint64_t chains):
        cdef uint32_t i
        return [i for i in range(self.program.rule_count) if slot.rules[i >> 6] >> (i & 63) & 1 and self.chains[i] & chains]

    cdef set found(self, const scan_slot *slot, uint64_t chains, const uint64_t *hits):
        """The rules that have one of the expressions and one of the chains."""
        cdef const scan_lane *lane = &self.program.lanes[slot.lane]
        cdef uint32_t expression
        cdef uint32_t at
        rules = set()
        for expression in range(lane.expressions if hits else 0):
            if hits[expression >> 6] >> (expression & 63) & 1:
                for at in range(lane.first_use[expression], lane.first_use[expression + 1]):
                    if chains >> lane.uses[at].chain & 1:
                        rules.add(lane.uses[at].rule)
        return rules

    cdef add(self, const scan_slot *slot, uint32_t kind, rl_view name, rl_view text, uint64_t chains, const uint64_t *hits):
        if chains == 0:
            looking = self.looking(slot, ~<uint64_t>0)
            self.fields.append({"target": kind, "name": taken(name), "value": taken(text), "rules": looking, "strings": []})
            return
        looking = self.looking(slot, chains)
        found = self.found(slot, chains, hits)
        fired = [rule for rule in looking if rule in found]
        self.fields[len(self.fields) - 1]["strings"].append({"text": taken(text), "rules": looking, "fired": fired})


cdef void watch(
    void *watcher, const scan_slot *slot, uint32_t kind, rl_view name, rl_view text, uint64_t chains, const uint64_t *hits
) noexcept with gil:
    (<Trace>watcher).add(slot, kind, name, text, chains, hits)


cdef list scan_trace(object rules, const rl_request *request, uint32_t body_limit):
    cdef Trace trace = Trace()
    cdef scan_result result
    cdef scan_scratch *scratch
    cdef scan_program *program = program_build(rules, None)
    chains = sorted({tuple(rule.transformations) for rule in rules})   # as in the blueprint
    trace.program = program
    trace.chains = [1 << chains.index(tuple(rule.transformations)) for rule in rules]
    trace.fields = []
    scratch = scratch_new()
    try:
        if scratch == NULL or scratch_prepare(scratch, program) != 0:
            raise MemoryError
        scratch.watch = watch
        scratch.watcher = <void *>trace
        program_scan(program, scratch, request, body_limit, &result)
    finally:
        scratch_free(scratch)
        program_free(program)
    return trace.fields
