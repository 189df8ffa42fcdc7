# One field's value through the trie and the databases.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.layout cimport scan_scratch


# kind: plan.Target. name and value must live until the scan ends.
cdef void scan_value(scan_scratch *scratch, uint32_t kind, rl_view name, rl_view value) noexcept nogil

# The hash of a name by which scan_kind.names is addressed; ASCII case does not matter.
cdef uint32_t name_hash(rl_view name) noexcept nogil
