# What a shard still knows of keys that have no slot: a count-min sketch (Cormode and Muthukrishnan, 2005) of four rows, with
# conservative update (Estan and Varghese, 2002) and an expiry in every cell. It can over-count, never under-count, as long as the
# hits it was told of are in their window.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest


cdef enum:
    SKETCH_ROWS = 4


cdef struct sketch_cell:
    uint32_t used
    uint32_t expires_s    # seconds since the epoch, rounded up


cdef struct counter_sketch:
    sketch_cell *cells    # SKETCH_ROWS rows of width cells
    uint32_t width
    uint32_t expires_s    # the last expiry in it: from then on it says nothing


# At most this many hits of digest are known here; 0 when none.
cdef uint64_t sketch_estimate(const counter_sketch *sketch, const key_digest *digest, int64_t now_ms) noexcept nogil

# digest has `used` hits, which are in their window until expires_ms.
cdef void sketch_fold(counter_sketch *sketch, const key_digest *digest, uint64_t used, int64_t expires_ms, int64_t now_ms) noexcept nogil
