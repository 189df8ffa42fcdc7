from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

from ratelimitd._ext.scan.arena cimport arena_free
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_alloc_scratch, hs_free_scratch
from ratelimitd._ext.scan.layout cimport scan_program, scan_scratch, scan_string


cdef scan_scratch *scratch_make() noexcept nogil:
    return <scan_scratch *>calloc(1, sizeof(scan_scratch))


cdef bint grown(void **array, uint32_t *have, uint32_t need, size_t size) noexcept nogil:
    """Room for need elements; what was there may be lost."""
    cdef void *memory
    if need <= have[0]:
        return True
    memory = realloc(array[0], need * size)
    if memory == NULL:
        return False
    array[0] = memory
    have[0] = need
    return True


cdef int scratch_grow(scan_scratch *scratch, const scan_program *program) noexcept nogil:
    cdef uint32_t i
    for i in range(program.lane_count):
        if hs_alloc_scratch(program.lanes[i].database, &scratch.hs) != HS_SUCCESS:
            return -1
    # A string more than nodes: a result is written before it is known to be a duplicate.
    if not grown(<void **>&scratch.strings, &scratch.nodes, program.node_count + 1, sizeof(scan_string)):
        return -1
    if not grown(<void **>&scratch.trail, &scratch.depth, program.most_depth + 1, sizeof(uint32_t)):
        return -1
    if not grown(<void **>&scratch.fired, &scratch.rules, (program.rule_count + 63) // 64, sizeof(uint64_t)):
        return -1
    if not grown(<void **>&scratch.firing, &scratch.firing_rules, (program.rule_count + 63) // 64, sizeof(uint64_t)):
        return -1
    if not grown(<void **>&scratch.hits, &scratch.words, (program.most_expressions + 63) // 64, sizeof(uint64_t)):
        return -1
    return 0


cdef void scratch_destroy(scan_scratch *scratch) noexcept nogil:
    if scratch == NULL:
        return
    hs_free_scratch(scratch.hs)
    arena_free(&scratch.memory)
    free(scratch.strings)
    free(scratch.trail)
    free(scratch.fired)
    free(scratch.firing)
    free(scratch.hits)
    free(scratch)
