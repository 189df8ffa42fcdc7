"""Packed counters to Python, answers of the store back."""
import threading

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimitd._ext.limit.lease cimport lease_record
from ratelimitd._ext.limit.merge cimport merge_group, merge_resync, merge_run, merge_unsent
from ratelimitd._ext.limit.pack cimport PACK_SHARDS, pack_dirty, pack_free, pack_group, pack_new, pack_record, pack_run
from ratelimitd._ext.limit.sync cimport SYNC_DEMAND_PARTS, sync_shard
from ratelimitd._ext.limit.table cimport table_sync_state, table_take_urgent

from ratelimitd.errors import EngineError


cdef Flush flush_new(counter_table *table):
    cdef Flush out = Flush()
    out.table = table
    return out


cdef class Flush:
    def __cinit__(self):
        self._lock = threading.Lock()
        self.data = pack_new()
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        pack_free(self.data)

    cdef list pack(self, object shards, object limit, long long now_ms):
        """[(shard, [(window_ms, parts, number, records)])], shards without dirty counters left out."""
        cdef uint32_t most = max(0, min(limit, 0xFFFFFFFF)), shard
        with self._lock:
            _want(shards, self.data.wanted)
            with nogil:
                pack_run(self.data, self.table, most, now_ms)
            return [
                (shard, groups)
                for shard in range(PACK_SHARDS)
                if self.data.wanted[shard] and self.data.first[shard] >= 0
                for groups in self._groups(shard)
                if groups
            ]

    cdef tuple _groups(self, unsigned int shard):
        """(of leases, of counts)"""
        cdef int at = self.data.first[shard]
        cdef const pack_group *group
        leases, counts, demand = [], [], []
        while at >= 0:
            group = &self.data.groups[at]
            records = PyBytes_FromStringAndSize(group.records, group.size)
            into = leases if group.parts < 0 else demand if group.parts == SYNC_DEMAND_PARTS else counts
            into.append((group.window_ms, group.parts, group.number, records))
            at = group.next
        leases.sort()
        counts.sort()
        demand.sort()
        return leases, counts + demand

    cdef long long merge(self, object groups, object replies, long long now_ms) except -1:
        """How many records met their counter. EngineError, and nothing is merged, when an answer has not the size of its question."""
        cdef long long merged = 0, asked = 0
        cdef int64_t packed_ms
        cdef merge_group group
        cdef merge_group before
        groups, replies = list(groups), list(replies)
        before.others = NULL
        if len(groups) != len(replies):
            raise EngineError(f"the store answered {len(replies)} of {len(groups)} groups")
        for asking, reply in zip(groups, replies):
            if not isinstance(reply, bytes) or (4 if asking[1] < 0 else 6) * len(reply) != len(asking[3]):
                raise EngineError(f"an answer of the store to {len(asking[3])} bytes of counters has the wrong size")
        with self._lock:
            for asking, reply in zip(groups, replies):
                _group(asking, &group)
                if group.count == 0:
                    continue
                group.others = <const uint32_t *>PyBytes_AS_STRING(reply)
                # Demand comes in two slices of the same counters, the earlier one first.
                if group.parts == SYNC_DEMAND_PARTS and before.others == NULL:
                    before = group
                    continue
                group.before = before.others if before.count == group.count else NULL
                packed_ms = self.data.packed_ms[sync_shard((<const pack_record *>group.records).digest.lo)]
                with nogil:
                    merged += <long long>merge_run(self.table, &group, packed_ms, now_ms)
                asked += group.count
            self.merged += merged
            self.skipped += asked - merged
        return merged

    cdef unsent(self, object groups):
        cdef merge_group group
        for asking in groups:
            _group(asking, &group)
            with nogil:
                merge_unsent(self.table, &group)

    cdef resync(self, object shards):
        cdef uint8_t wanted[PACK_SHARDS]
        _want(shards, wanted)
        with nogil:
            merge_resync(self.table, wanted)

    cdef state(self, bytes lost, object nodes):
        cdef uint64_t low = 0, high = 0
        cdef uint32_t count = max(1, min(nodes, 0xFFFFFFFF))
        if len(lost) != PACK_SHARDS:
            raise EngineError(f"lost: {len(lost)} bytes, must be one for each of {PACK_SHARDS} shards")
        for shard in range(PACK_SHARDS // 2):
            low |= <uint64_t>(lost[shard] != 0) << <int>shard
            high |= <uint64_t>(lost[shard + PACK_SHARDS // 2] != 0) << <int>shard
        table_sync_state(self.table, low, high, count)

    cdef list urgent(self):
        cdef uint64_t low, high
        table_take_urgent(self.table, &low, &high)
        return [shard for shard in range(PACK_SHARDS) if (high if shard >> 6 else low) >> <int>(shard & 63) & 1]

    cdef dict stats(self):
        cdef uint64_t dirty
        with self._lock:
            with nogil:
                dirty = pack_dirty(self.table)
            return {"dirty": dirty, "packed": self.data.packed, "merged": self.merged, "skipped": self.skipped}


cdef _want(object shards, uint8_t *wanted):
    memset(wanted, 0, PACK_SHARDS)
    for shard in shards:
        if not 0 <= shard < PACK_SHARDS:
            raise EngineError(f"shard {shard}: there are {PACK_SHARDS}")
        wanted[<int>shard] = 1


cdef _group(tuple asking, merge_group *out):
    """Borrows the records."""
    cdef bytes records = asking[3]
    cdef size_t size = sizeof(lease_record) if asking[1] < 0 else sizeof(pack_record)
    if len(records) % size:
        raise EngineError("a packed group has the wrong size")
    out.window_ms, out.parts, out.number = asking[:3]
    out.records = PyBytes_AS_STRING(records)
    out.count = <uint32_t>(len(records) // size)
    out.others = NULL
