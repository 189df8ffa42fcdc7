import hashlib
from pathlib import Path

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from ratelimitd._ext.scan.hs cimport (
    HS_MODE_BLOCK, HS_SUCCESS, hs_compile_error_t, hs_compile_multi, hs_database_t, hs_deserialize_database, hs_free_compile_error,
    hs_free_database, hs_platform, hs_platform_info_t, hs_serialize_database, hs_version,
)

from ratelimitd import cache
from ratelimitd.errors import EngineError

cdef extern from *:
    """
    #include <mutex>
    static std::mutex registry_mutex;
    static void registry_lock() { registry_mutex.lock(); }
    static void registry_unlock() { registry_mutex.unlock(); }
    """
    void registry_lock() noexcept nogil
    void registry_unlock() noexcept nogil

# All that are in use; guarded by the lock, under which no Python runs.
cdef shared_database *registry = NULL

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


cdef shared_database *find_and_use(const uint8_t *key) noexcept nogil:
    """Under the lock."""
    cdef shared_database *shared = registry
    while shared and memcmp(shared.key, key, 32) != 0:
        shared = shared.next
    if shared:
        shared.users += 1
    return shared


cdef shared_database *database_acquire(list expressions, object cache_dir) except NULL:
    global registry
    cdef hs_platform_info_t platform
    cdef shared_database *made
    cdef shared_database *shared
    if hs_platform(&platform) != HS_SUCCESS:
        raise EngineError("this CPU cannot run the pattern library (SSE4.2 is needed)")
    cdef bytes digest = cache_key(expressions, &platform)
    cdef const uint8_t *key = digest
    registry_lock()
    shared = find_and_use(key)
    registry_unlock()
    if shared:
        return shared
    made = <shared_database *>calloc(1, sizeof(shared_database))
    if made == NULL:
        raise MemoryError
    try:
        made.database = loaded_or_compiled(expressions, &platform, digest, cache_dir)
    except BaseException:
        free(made)
        raise
    memcpy(made.key, key, 32)
    made.users = 1
    registry_lock()
    shared = find_and_use(key)   # somebody may have been faster
    if shared == NULL:
        made.next = registry
        registry = made
    registry_unlock()
    if shared == NULL:
        return made
    hs_free_database(made.database)
    free(made)
    return shared


cdef void database_release(shared_database *shared) noexcept nogil:
    global registry
    cdef shared_database **link
    if shared == NULL:
        return
    registry_lock()
    shared.users -= 1
    if shared.users:
        registry_unlock()
        return
    link = &registry
    while link[0] != shared:
        link = &link[0].next
    link[0] = shared.next
    registry_unlock()
    hs_free_database(shared.database)
    free(shared)


def databases_in_use() -> int:
    cdef shared_database *shared
    cdef int count = 0
    registry_lock()
    shared = registry
    while shared:
        count += 1
        shared = shared.next
    registry_unlock()
    return count
