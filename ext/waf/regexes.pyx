import hashlib

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from ratelimitd._ext.bytes.pcre cimport RL_PCRE_CASELESS, rl_pcre, rl_pcre_compile, rl_pcre_free
from ratelimitd._ext.core cimport rl_view

from ratelimitd.errors import EngineError

cdef extern from *:
    """
    #include <mutex>
    static std::mutex regexes_mutex;
    static void regexes_lock() { regexes_mutex.lock(); }
    static void regexes_unlock() { regexes_mutex.unlock(); }
    """
    void regexes_lock() noexcept nogil
    void regexes_unlock() noexcept nogil

# All that are in use; guarded by the lock, under which no Python runs.
cdef shared_regex *registry = NULL


cdef shared_regex *find_and_use(const uint8_t *key) noexcept nogil:
    """Under the lock."""
    cdef shared_regex *shared = registry
    while shared != NULL and memcmp(shared.key, key, 32) != 0:
        shared = shared.next
    if shared != NULL:
        shared.users += 1
    return shared


cdef rl_pcre *tried(bytes pattern, bint ignore_case, list fault):
    """NULL: what is wrong is in fault."""
    cdef char message[256]
    cdef uint32_t at = 0
    cdef rl_view text = rl_view(<const char *>pattern, <uint32_t>len(pattern))
    cdef rl_pcre *regex = rl_pcre_compile(text, RL_PCRE_CASELESS if ignore_case else 0, message, sizeof(message), &at)
    if regex == NULL:
        fault.append(f"{message.decode('utf-8', 'replace')} at byte {at}")
    return regex


cdef rl_pcre *compiled(bytes pattern, bint ignore_case, str origin) except NULL:
    cdef list fault = []
    cdef rl_pcre *regex = tried(pattern, ignore_case, fault)
    if regex == NULL:
        raise EngineError(f"{origin}: {fault[0]} of {pattern.decode('utf-8', 'backslashreplace')}")
    return regex


def regex_fault(bytes pattern, bint ignore_case) -> str:
    """What is wrong with a pattern; empty when nothing is."""
    cdef list fault = []
    cdef rl_pcre *regex = tried(pattern, ignore_case, fault)
    if regex != NULL:
        rl_pcre_free(regex)
    return fault[0] if fault else ""


cdef shared_regex *regex_acquire(bytes pattern, bint ignore_case, str origin) except NULL:
    global registry
    cdef bytes digest = hashlib.sha256(b"%d" % ignore_case + pattern).digest()
    cdef const uint8_t *key = digest
    cdef shared_regex *shared
    cdef shared_regex *made
    regexes_lock()
    shared = find_and_use(key)
    regexes_unlock()
    if shared != NULL:
        return shared
    made = <shared_regex *>calloc(1, sizeof(shared_regex))
    if made == NULL:
        raise MemoryError
    try:
        made.regex = compiled(pattern, ignore_case, origin)
    except BaseException:
        free(made)
        raise
    memcpy(made.key, key, 32)
    made.users = 1
    regexes_lock()
    shared = find_and_use(key)   # somebody may have been faster
    if shared == NULL:
        made.next = registry
        registry = made
    regexes_unlock()
    if shared == NULL:
        return made
    rl_pcre_free(made.regex)
    free(made)
    return shared


cdef void regex_release(shared_regex *shared) noexcept nogil:
    global registry
    cdef shared_regex **link
    if shared == NULL:
        return
    regexes_lock()
    shared.users -= 1
    if shared.users:
        regexes_unlock()
        return
    link = &registry
    while link[0] != shared:
        link = &link[0].next
    link[0] = shared.next
    regexes_unlock()
    rl_pcre_free(shared.regex)
    free(shared)
