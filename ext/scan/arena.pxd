# Memory that is handed out in order and taken back at once. Blocks never move and are kept for the next round, so that steady state
# allocates nothing.


cdef struct arena_block:
    arena_block *next
    size_t size           # bytes behind this header


cdef struct scan_arena:
    arena_block *first
    arena_block *current
    size_t used           # of the current block
    size_t committed      # of all blocks since the reset
    size_t budget         # bound on committed bytes
    size_t held           # size of all blocks


# n bytes of room, aligned to 8, or NULL: out of memory or over budget. The room is lost to the next reserve unless committed.
cdef char *arena_reserve(scan_arena *arena, size_t n) noexcept nogil
cdef void arena_commit(scan_arena *arena, size_t n) noexcept nogil
# Reserves and commits zeroed memory.
cdef void *arena_zeroed(scan_arena *arena, size_t n) noexcept nogil
# Forgets everything; memory beyond `keep` bytes is given back.
cdef void arena_reset(scan_arena *arena, size_t budget, size_t keep) noexcept nogil
cdef void arena_free(scan_arena *arena) noexcept nogil
