# Compiled things that programs share, by the digest of what they are made of: profiles and reloads with the same rules hold one copy. Any thread may
# call these; a lock is held for each call, and no Python runs under it.
from libc.stdint cimport uint8_t, uint32_t


cdef struct shared_item:
    void *thing              # read-only
    uint8_t key[32]
    uint32_t users
    shared_item *next


cdef struct shared_registry:
    shared_item *first


# With one user more; NULL: it is not there.
cdef shared_item *shared_find(shared_registry *registry, const uint8_t *key) noexcept nogil
# Keeps a thing, with one user. Of one key the first that was kept stays: if the item has another thing, ours is the caller's to free. NULL: no
# memory.
cdef shared_item *shared_keep(shared_registry *registry, const uint8_t *key, void *thing) noexcept nogil
# One user less. The thing, for the caller to free, when nobody uses it any more; else NULL.
cdef void *shared_leave(shared_registry *registry, shared_item *item) noexcept nogil
cdef uint32_t shared_count(shared_registry *registry) noexcept nogil
