# What leaves for the store: the hits of dirty counters, as packed records by (store shard, window, parts, span). A table shard's lock is held
# for a few records at a time, so that checks hardly notice.
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.table cimport counter_table


cdef enum:
    PACK_SHARDS = 128
    RECORD_REPLACE = 1        # drop our other parts of the field
    RECORD_CLEAR = 2          # drop everyone's
    RECORD_LAST = 1 << 15     # the counter's last record of this pack
    PACK_LEASE_FIXED = -1     # parts of a group of lease_records
    PACK_LEASE_SLIDING = -2


# Little endian, 24 bytes.
cdef struct pack_record:
    key_digest digest
    uint16_t incarnation
    uint16_t flags
    uint32_t own


cdef struct pack_group:
    char *records         # pack_record, or lease_record when parts is below 0
    uint32_t count        # of records
    uint32_t size, room   # bytes
    int32_t next          # group of the same store shard, -1: none
    uint64_t window_ms
    uint64_t number       # of the span
    int16_t parts
    uint8_t shard


# Owned by who flushes; one call at a time. Its memory is kept from pack to pack.
cdef struct sync_pack:
    pack_group *groups
    uint32_t count, room
    int32_t first[PACK_SHARDS]        # group of a store shard, -1: none
    uint32_t counted[PACK_SHARDS]     # counters packed
    uint8_t wanted[PACK_SHARDS]
    int64_t packed_ms[PACK_SHARDS]    # when it was packed last
    uint8_t failed                    # out of memory: what is packed is right, what is not packed stays dirty
    uint64_t packed                   # records since the start


cdef sync_pack *pack_new() noexcept nogil
cdef void pack_free(sync_pack *pack) noexcept nogil

# Packs dirty counters of the wanted store shards, at most `limit` counters of each; the rest stays dirty.
cdef void pack_run(sync_pack *pack, counter_table *table, uint32_t limit, int64_t now_ms) noexcept nogil

# How many counters are dirty.
cdef uint64_t pack_dirty(counter_table *table) noexcept nogil
