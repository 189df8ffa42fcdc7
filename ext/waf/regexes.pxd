# Compiled regular expressions that programs share: profiles and reloads with the same rules hold one copy.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.bytes.pcre cimport rl_pcre


cdef struct shared_regex:
    rl_pcre *regex       # read-only
    uint8_t key[32]      # digest of the pattern and how it is read
    uint32_t users
    shared_regex *next


# Raises EngineError: the pattern is wrong, with `origin` (where it stands). Every acquire needs a release, from any thread.
cdef shared_regex *regex_acquire(bytes pattern, bint ignore_case, str origin) except NULL
cdef void regex_release(shared_regex *shared) noexcept nogil
