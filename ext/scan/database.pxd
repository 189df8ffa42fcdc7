# Pattern databases: compiled, read from the disk cache, or shared with who has the same one. A reload that leaves the rules alone, and domains
# with the same rules, so compile nothing and hold one copy.
from ratelimitd._ext.scan.shared cimport shared_item

# expressions: a list of (pattern bytes, flags, id); several may have the same id. cache_dir: None or a path. The item's thing is a hs_database_t,
# its key the digest of patterns, library and CPU. Raises PatternError (a bad expression), EngineError (anything else). Compiles without the GIL.
# Every acquire needs a release, from any thread.
cdef shared_item *database_acquire(list expressions, object cache_dir) except NULL
cdef void database_release(shared_item *item) noexcept nogil   # NULL: nothing

# What is wrong with one expression: the library's message, or None.
cdef object database_fault(tuple expression)
