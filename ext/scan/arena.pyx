from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef enum:
    BLOCK_BYTES = 65536
    FALL = 1024           # of the mark, in a round that needs less: its 1024th


cdef char *bytes_of(arena_block *block) noexcept nogil:
    return <char *>block + sizeof(arena_block)


cdef arena_block *block_for(scan_arena *arena, size_t n) noexcept nogil:
    """Moves on to the next kept block that has room for n bytes, or to a new one put there."""
    cdef arena_block *last = arena.current
    cdef arena_block *block = last.next if last else arena.first
    while block and block.size < n:
        last = block
        block = block.next
    if block == NULL:
        block = <arena_block *>malloc(sizeof(arena_block) + (n if n > BLOCK_BYTES else BLOCK_BYTES))
        if block == NULL:
            return NULL
        block.next = NULL
        block.size = n if n > BLOCK_BYTES else BLOCK_BYTES
        arena.held += block.size
        block.end = arena.held
        arena.taken += 1
        if last:
            last.next = block
        else:
            arena.first = block
    arena.reached = max(arena.reached, block.end)
    arena.current = block
    arena.used = 0
    return block


cdef char *arena_reserve(scan_arena *arena, size_t n) noexcept nogil:
    if arena.committed > arena.budget or n > arena.budget - arena.committed:
        return NULL
    if arena.current == NULL or arena.current.size - arena.used < n:
        if block_for(arena, n) == NULL:
            return NULL
    return bytes_of(arena.current) + arena.used


cdef void arena_commit(scan_arena *arena, size_t n) noexcept nogil:
    cdef size_t rounded = (n + 7) & ~<size_t>7
    arena.committed += n
    if rounded > arena.current.size - arena.used:
        rounded = arena.current.size - arena.used
    arena.used += rounded


cdef void *arena_zeroed(scan_arena *arena, size_t n) noexcept nogil:
    cdef char *room = arena_reserve(arena, n)
    if room:
        memset(room, 0, n)
        arena_commit(arena, n)
    return room


cdef void trim(scan_arena *arena, size_t keep) noexcept nogil:
    """Frees what is behind the blocks that make up `keep` bytes: those in front are used first."""
    cdef arena_block **link = &arena.first
    cdef arena_block *block
    cdef arena_block *next
    arena.held = 0
    while link[0] != NULL and link[0].end <= keep:
        arena.held = link[0].end
        link = &link[0].next
    block = link[0]
    link[0] = NULL
    while block != NULL:
        next = block.next
        free(block)
        block = next


cdef void arena_reset(scan_arena *arena, size_t budget, size_t least, size_t most) noexcept nogil:
    # Who never needs more than the least has nothing to find out.
    if arena.held > least:
        arena.mark = max(arena.reached, arena.mark - arena.mark // FALL)
        if arena.held > most or arena.held // 2 > max(arena.mark, least):
            trim(arena, min(max(arena.mark, least), most))
    arena.current = NULL
    arena.used = arena.reached = 0
    arena.committed = 0
    arena.budget = budget


cdef void arena_free(scan_arena *arena) noexcept nogil:
    trim(arena, 0)
    arena.current = NULL
