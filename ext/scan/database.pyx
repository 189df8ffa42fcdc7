import hashlib
from pathlib import Path

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from ratelimitd._ext.scan.hs cimport (
    HS_MODE_BLOCK, HS_SUCCESS, hs_compile_error_t, hs_compile_multi, hs_database_t, hs_deserialize_database, hs_free_compile_error,
    hs_free_database, hs_platform, hs_platform_info_t, hs_serialize_database, hs_version,
)
from ratelimitd._ext.scan.shared cimport shared_count, shared_find, shared_item, shared_keep, shared_leave, shared_registry

from ratelimitd import cache
from ratelimitd.errors import EngineError

# All that are in use.
cdef shared_registry registry

MAGIC = b"ratelimitd-hsdb-2\n"


class PatternError(Exception):
    """An expression does not compile: its index (or -1) and the library's message."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


cdef bytes cache_key(list expressions, const hs_platform_info_t *platform):
    """What a compiled database depends on: the patterns, the library and the CPU."""
    parts = [MAGIC, hs_version(), b"%d %d" % (platform.tune, platform.cpu_features)]
    for pattern, flags, id in expressions:
        parts.append(b"%d %d %d " % (id, flags, len(pattern)) + pattern)
    return hashlib.sha256(b"\0".join(parts)).digest()


cdef hs_database_t *load(path):
    """The cached database, or NULL: no file, or not one that we wrote, and whole."""
    cdef hs_database_t *database = NULL
    content = cache.read(path)
    if content is None:
        return NULL
    body = content[len(MAGIC) + 32:]
    if not content.startswith(MAGIC) or hashlib.sha256(body).digest() != content[len(MAGIC):len(MAGIC) + 32]:
        return NULL
    cdef const char *data = body
    cdef size_t size = len(body)
    with nogil:
        if hs_deserialize_database(data, size, &database) != HS_SUCCESS:
            database = NULL
    return database


cdef save(path, const hs_database_t *database):
    cdef char *data = NULL
    cdef size_t size = 0
    if hs_serialize_database(database, &data, &size) != HS_SUCCESS:
        return
    try:
        body = data[:size]
    finally:
        free(data)
    cache.write(path, MAGIC + hashlib.sha256(body).digest() + body)


cdef hs_database_t *compiled(list expressions, const hs_platform_info_t *platform) except NULL:
    cdef unsigned int count = <unsigned int>len(expressions)
    cdef const char **patterns = <const char **>malloc(count * sizeof(char *))
    cdef unsigned int *flags = <unsigned int *>malloc(count * sizeof(int))
    cdef unsigned int *ids = <unsigned int *>malloc(count * sizeof(int))
    cdef hs_database_t *database = NULL
    cdef hs_compile_error_t *error = NULL
    cdef int status
    try:
        if not (patterns and flags and ids):
            raise MemoryError
        for i, (pattern, pattern_flags, id) in enumerate(expressions):
            if b"\0" in pattern:
                raise PatternError(i, "a pattern cannot hold a null byte; write \\x00")
            patterns[i] = pattern
            flags[i] = pattern_flags
            ids[i] = id
        with nogil:
            status = hs_compile_multi(patterns, flags, ids, count, HS_MODE_BLOCK, platform, &database, &error)
        if status != HS_SUCCESS:
            if error == NULL:
                raise EngineError(f"pattern database: error {status}")
            try:
                raise PatternError(error.expression, error.message.decode("utf-8", "replace").strip())
            finally:
                hs_free_compile_error(error)
        return database
    finally:
        free(patterns)
        free(flags)
        free(ids)


cdef object database_fault(tuple expression):
    cdef hs_platform_info_t platform
    cdef hs_database_t *database
    if hs_platform(&platform) != HS_SUCCESS:
        return None
    try:
        database = compiled([(*expression[:2], 0)], &platform)
    except PatternError as error:
        return str(error)
    hs_free_database(database)
    return None


cdef hs_database_t *loaded_or_compiled(list expressions, const hs_platform_info_t *platform, bytes key, object cache_dir) except NULL:
    cdef hs_database_t *database
    if cache_dir is None:
        return compiled(expressions, platform)
    path = Path(cache_dir) / f"{key.hex()}.hsdb"
    database = load(path)
    if database == NULL:
        database = compiled(expressions, platform)
        try:
            save(path, database)
        except BaseException:
            hs_free_database(database)
            raise
    return database


cdef shared_item *database_acquire(list expressions, object cache_dir) except NULL:
    cdef hs_platform_info_t platform
    cdef hs_database_t *database
    cdef shared_item *item
    if hs_platform(&platform) != HS_SUCCESS:
        raise EngineError("this CPU cannot run the pattern library (SSE4.2 is needed)")
    cdef bytes digest = cache_key(expressions, &platform)
    item = shared_find(&registry, <const uint8_t *>digest)
    if item != NULL:
        return item
    database = loaded_or_compiled(expressions, &platform, digest, cache_dir)
    item = shared_keep(&registry, <const uint8_t *>digest, database)
    if item == NULL or item.thing != database:
        hs_free_database(database)
    if item == NULL:
        raise MemoryError
    return item


cdef void database_release(shared_item *item) noexcept nogil:
    if item != NULL:
        hs_free_database(<hs_database_t *>shared_leave(&registry, item))


def databases_in_use() -> int:
    return shared_count(&registry)
