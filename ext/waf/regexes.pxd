# Compiled regular expressions that programs share.
from ratelimitd._ext.scan.shared cimport shared_item

# The item's thing is a rl_pcre, its key the digest of the pattern and how it is read. Raises EngineError: the pattern is wrong, with `origin` (where
# it stands). Every acquire needs a release, from any thread.
cdef shared_item *regex_acquire(bytes pattern, bint ignore_case, str origin) except NULL
cdef void regex_release(shared_item *item) noexcept nogil
