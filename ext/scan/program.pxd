# Pattern rules compiled to an immutable program: every distinct set of patterns that a kind of target needs is a lane with one
# Hyperscan/Vectorscan database; the transformations are a trie whose distinct results are scanned once each, whatever the number of
# rules, and hits are masked by (rule, field, chain).
#
# Built in the control plane (the databases without the interpreter lock), run by workers. A program is read-only and shared; a scratch
# belongs to one worker and grows only when a program is swapped in.
#
# A rule fires once per scan: its score counts once, as the Core Rule Set scores, and its match names the first field. Names of fields
# compare without regard to ASCII case, as in ModSecurity. Where a match's target comes from outside, bytes other than printable ASCII are
# percent-encoded and 96 bytes are kept.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request
from ratelimitd._ext.scan.layout cimport scan_program, scan_result, scan_scratch


# rules: a sequence of plan.Rule. Raises EngineError with the rule's id and Hyperscan's message, and with every bad pattern. cache_dir: None or a directory that
# keeps compiled databases (keyed by patterns, library version and CPU). Takes the GIL; releases it while compiling.
cdef scan_program *program_build(object rules, object cache_dir) except NULL
cdef void program_free(scan_program *program) noexcept nogil
cdef uint32_t program_databases(const scan_program *program) noexcept nogil
cdef object program_dump(const scan_program *program)     # str, for people

# A scratch good for any program it was prepared with. prepare returns 0, or -1 when out of memory; it may be called while no scan runs on it.
cdef scan_scratch *scratch_new() noexcept nogil
cdef int scratch_prepare(scan_scratch *scratch, const scan_program *program) noexcept nogil
cdef void scratch_free(scan_scratch *scratch) noexcept nogil

# Scans what the rules target. body_limit: bytes of the body to look at. The matches' views live until the next scan (targets) and as
# long as the program (ids).
cdef void program_scan(const scan_program *program, scan_scratch *scratch, const rl_request *request, uint32_t body_limit, scan_result *out) noexcept nogil
