# What comes back from the store: everyone else's hits of the spans that were packed. A merge only raises a count, but right after the key was
# reset: what a store lost lets nobody through. Records whose counter is gone, or another than was packed, are skipped.
from libc.stdint cimport int64_t, int16_t, uint32_t, uint64_t, uint8_t

from ratelimitd._ext.limit.table cimport counter_table


# The records of one packed group and, for a merge, what the store answered: everyone else's hits, in order.
cdef struct merge_group:
    const char *records   # pack_record, or lease_record when parts is below 0
    const uint32_t *others    # of a lease: pairs of what is granted to us, and to others
    const uint32_t *before    # of demand: what it answered of the slice before, for the same records
    uint32_t count
    uint64_t window_ms
    uint64_t number
    int16_t parts


# packed_ms: when it was packed. Returns how many records met their counter.
cdef uint64_t merge_run(counter_table *table, const merge_group *group, int64_t packed_ms, int64_t now_ms) noexcept nogil

# The records never arrived: their counters are dirty again.
cdef void merge_unsent(counter_table *table, const merge_group *group) noexcept nogil

# All own hits of open spans of the wanted store shards have to be sent again.
cdef void merge_resync(counter_table *table, const uint8_t *wanted) noexcept nogil
