# Who goes when a shard is full: an expired counter, else the least recently used of some that are not near their limit, whose count
# goes into the sketch. Wants the shard's lock held; may move any slot.
from libc.stdint cimport int64_t

from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport counter_shard


# Makes room for one more key: 1, or 0 when nothing may be dropped.
cdef bint shard_make_room(counter_shard *shard, const key_digest *digest, int64_t now_ms) noexcept nogil

# Makes room whoever has to go, even a counter near its limit, however far from the key's home: its count goes into the sketch like any
# other.
cdef void shard_force_room(counter_shard *shard, const key_digest *digest, int64_t now_ms) noexcept nogil
