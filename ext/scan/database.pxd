# Pattern databases: compiled, read from the disk cache, or shared with who has the same one. A reload that leaves the rules alone, and domains
# with the same rules, so compile nothing and hold one copy.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.scan.hs cimport hs_database_t


cdef struct shared_database:
    hs_database_t *database   # read-only
    uint8_t key[32]           # digest of patterns, library and CPU
    uint32_t users
    shared_database *next


# expressions: a list of (pattern bytes, flags, id); several may have the same id. cache_dir: None or a path. Raises PatternError
# (a bad expression), EngineError (anything else). Compiles without the GIL. Every acquire needs a release, from any thread.
cdef shared_database *database_acquire(list expressions, object cache_dir) except NULL
cdef void database_release(shared_database *shared) noexcept nogil

# What is wrong with one expression: the library's message, or None.
cdef object database_fault(tuple expression)
