from libc.stdint cimport UINT32_MAX


cdef inline sketch_cell *cell_at(const counter_sketch *sketch, const key_digest *digest, int row) noexcept nogil:
    # Bits that neither the shard nor the tag nor the home group was chosen by; an odd step keeps the rows apart.
    cdef uint32_t spread = <uint32_t>(digest.lo >> 8) + <uint32_t>row * (<uint32_t>(digest.hi >> 4) | 1)
    return &sketch.cells[<uint64_t>row * sketch.width + (<uint64_t>spread * sketch.width >> 32)]


cdef uint64_t sketch_estimate(const counter_sketch *sketch, const key_digest *digest, int64_t now_ms) noexcept nogil:
    cdef int64_t now_s = now_ms // 1000
    cdef int row
    cdef uint32_t least = UINT32_MAX
    cdef const sketch_cell *cell
    if sketch.expires_s <= now_s:
        return 0
    for row in range(SKETCH_ROWS):
        cell = cell_at(sketch, digest, row)
        if cell.expires_s <= now_s:
            return 0
        if cell.used < least:
            least = cell.used
    return least


cdef void sketch_fold(counter_sketch *sketch, const key_digest *digest, uint64_t used, int64_t expires_ms, int64_t now_ms) noexcept nogil:
    cdef int64_t now_s = now_ms // 1000, until = (expires_ms + 999) // 1000
    cdef int row
    cdef uint32_t hits = UINT32_MAX if used > UINT32_MAX else <uint32_t>used
    cdef uint32_t expires_s = UINT32_MAX if until > UINT32_MAX else <uint32_t>until
    cdef sketch_cell *cell
    for row in range(SKETCH_ROWS):
        cell = cell_at(sketch, digest, row)
        if cell.expires_s <= now_s:
            cell.used = hits
            cell.expires_s = expires_s
            continue
        if cell.used < hits:
            cell.used = hits
        if cell.expires_s < expires_s:
            cell.expires_s = expires_s
    if sketch.expires_s < expires_s:
        sketch.expires_s = expires_s
