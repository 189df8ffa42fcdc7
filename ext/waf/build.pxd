# From ratelimitd.waf.program.Program to the structs that workers run.
from libc.stdint cimport uint32_t

from ratelimitd._ext.waf.layout cimport waf_program

# Raises EngineError (a pattern that does not compile, with where it stands). cache_dir: None or a directory that keeps compiled databases.
# Takes the GIL; releases it while compiling. direct: nothing is scanned for, every link is evaluated in its turn; slow, and what tests hold
# the shortcuts of scanning against.
cdef waf_program *waf_build(object program, object cache_dir, bint direct=*) except NULL
cdef void waf_free(waf_program *program) noexcept nogil
cdef uint32_t waf_databases(const waf_program *program) noexcept nogil
