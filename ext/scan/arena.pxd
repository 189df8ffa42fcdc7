# Memory that is handed out in order and taken back at once. Blocks never move and are kept for the next rounds, as many as recent rounds have
# needed, so that steady state allocates nothing.
from libc.stdint cimport uint64_t


cdef struct arena_block:
    arena_block *next
    size_t size           # bytes behind this header
    size_t end            # of all blocks up to this one


cdef struct scan_arena:
    arena_block *first
    arena_block *current
    size_t used           # of the current block
    size_t committed      # of all blocks since the reset
    size_t budget         # bound on committed bytes
    size_t held           # size of all blocks
    size_t reached        # end of the last block that this round has used
    size_t mark           # what rounds have needed: the most, falling by half in 700 rounds
    uint64_t taken        # blocks that were allocated


# n bytes of room, aligned to 8, or NULL: out of memory or over budget. The room is lost to the next reserve unless committed.
cdef char *arena_reserve(scan_arena *arena, size_t n) noexcept nogil
cdef void arena_commit(scan_arena *arena, size_t n) noexcept nogil
# Reserves and commits zeroed memory.
cdef void *arena_zeroed(scan_arena *arena, size_t n) noexcept nogil
# Forgets everything. Memory is given back when it is twice what recent rounds have needed, and beyond `most` bytes; `least` bytes always stay.
cdef void arena_reset(scan_arena *arena, size_t budget, size_t least, size_t most) noexcept nogil
cdef void arena_free(scan_arena *arena) noexcept nogil
