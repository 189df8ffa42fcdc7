# Pattern rules compiled to an immutable program: every distinct (target set, transformation chain) is a lane; all patterns of a lane are
# one Hyperscan/Vectorscan database, so a value is scanned once per lane whatever the number of rules.
#
# Built in the control plane (the databases without the interpreter lock), run by workers. A program is read-only and shared; a scratch
# belongs to one worker and grows only when a program is swapped in.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_request, rl_rule_match, rl_view


cdef struct scan_program      # opaque
cdef struct scan_scratch      # opaque


cdef struct scan_result:
    uint32_t score            # sum of the scores of the rules that fired
    uint32_t match_count      # at most RL_MAX_MATCHES; further ones only count into the score
    int32_t deny_match        # index into matches of the first rule with `deny`, or -1
    uint64_t bytes_inspected  # bytes of the body that were looked at
    uint8_t inspected_all
    uint8_t error             # a bound (work, depth, arguments) was hit: what was scanned is still reported
    rl_rule_match matches[32]


# rules: a sequence of plan.Rule. Raises EngineError with the rule's id and Hyperscan's message. cache_dir: None or a directory that
# keeps compiled databases (keyed by patterns, library version and CPU). Takes the GIL; releases it while compiling.
cdef scan_program *program_build(object rules, object cache_dir) except NULL
cdef void program_free(scan_program *program) noexcept nogil
cdef uint32_t program_databases(const scan_program *program) noexcept nogil
cdef object program_dump(const scan_program *program)     # str, for people

# A scratch good for any program it was prepared with. prepare returns 0, or -1 when out of memory; it may be called while no scan runs on it.
cdef scan_scratch *scratch_new() noexcept nogil
cdef int scratch_prepare(scan_scratch *scratch, const scan_program *program) noexcept nogil
cdef void scratch_free(scan_scratch *scratch) noexcept nogil

# Scans what the rules target. body_limit: bytes of the body to look at.
cdef void program_scan(const scan_program *program, scan_scratch *scratch, const rl_request *request, uint32_t body_limit, scan_result *out) noexcept nogil
