# One pattern database: compiled, or read from the disk cache.
from ratelimitd._ext.scan.hs cimport hs_database_t


# expressions: a list of (pattern bytes, flags); the id of an expression is its index. cache_dir: None or a path. Raises PatternError
# (a bad expression), EngineError (anything else). Compiles without the GIL.
cdef hs_database_t *database_build(list expressions, object cache_dir) except NULL
