import hashlib

from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.bytes.pcre cimport RL_PCRE_CASELESS, rl_pcre, rl_pcre_compile, rl_pcre_free
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.shared cimport shared_find, shared_item, shared_keep, shared_leave, shared_registry

from ratelimitd.errors import EngineError

# All that are in use.
cdef shared_registry registry


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


cdef shared_item *regex_acquire(bytes pattern, bint ignore_case, str origin) except NULL:
    cdef bytes digest = hashlib.sha256(b"%d" % ignore_case + pattern).digest()
    cdef shared_item *item = shared_find(&registry, <const uint8_t *>digest)
    cdef rl_pcre *regex
    if item != NULL:
        return item
    regex = compiled(pattern, ignore_case, origin)
    item = shared_keep(&registry, <const uint8_t *>digest, regex)
    if item == NULL or item.thing != regex:
        rl_pcre_free(regex)
    if item == NULL:
        raise MemoryError
    return item


cdef void regex_release(shared_item *item) noexcept nogil:
    rl_pcre_free(<rl_pcre *>shared_leave(&registry, item))
