# The table's talk with the store, as Python objects: what the control plane packs, sends, and merges. Calls may come from any thread; they wait
# for each other.
from ratelimitd._ext.limit.pack cimport sync_pack
from ratelimitd._ext.limit.table cimport counter_table


cdef class Flush:
    cdef counter_table *table        # owned by the engine
    cdef sync_pack *data
    cdef object _lock                # of data
    cdef readonly unsigned long long merged, skipped

    cdef list pack(self, object shards, object limit, long long now_ms)
    cdef tuple _groups(self, unsigned int shard)
    cdef long long merge(self, object groups, object replies, long long now_ms) except -1
    cdef unsent(self, object groups)
    cdef resync(self, object shards)
    cdef state(self, bytes lost, object nodes)
    cdef list urgent(self)
    cdef dict stats(self)


# For a table that has just begun to sync.
cdef Flush flush_new(counter_table *table)
