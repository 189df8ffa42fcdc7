from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #include <mutex>
    static std::mutex shared_mutex;
    static void shared_lock() { shared_mutex.lock(); }
    static void shared_unlock() { shared_mutex.unlock(); }
    """
    void shared_lock() noexcept nogil
    void shared_unlock() noexcept nogil


cdef shared_item *used(shared_registry *registry, const uint8_t *key) noexcept nogil:
    """Under the lock."""
    cdef shared_item *item = registry.first
    while item != NULL and memcmp(item.key, key, 32) != 0:
        item = item.next
    if item != NULL:
        item.users += 1
    return item


cdef shared_item *shared_find(shared_registry *registry, const uint8_t *key) noexcept nogil:
    cdef shared_item *item
    shared_lock()
    item = used(registry, key)
    shared_unlock()
    return item


cdef shared_item *shared_keep(shared_registry *registry, const uint8_t *key, void *thing) noexcept nogil:
    cdef shared_item *made = <shared_item *>calloc(1, sizeof(shared_item))
    cdef shared_item *item
    if made == NULL:
        return NULL
    made.thing = thing
    made.users = 1
    memcpy(made.key, key, 32)
    shared_lock()
    item = used(registry, key)
    if item == NULL:
        made.next = registry.first
        registry.first = made
    shared_unlock()
    if item == NULL:
        return made
    free(made)
    return item


cdef void *shared_leave(shared_registry *registry, shared_item *item) noexcept nogil:
    cdef shared_item **link
    cdef void *thing
    shared_lock()
    item.users -= 1
    if item.users:
        shared_unlock()
        return NULL
    link = &registry.first
    while link[0] != item:
        link = &link[0].next
    link[0] = item.next
    shared_unlock()
    thing = item.thing
    free(item)
    return thing


cdef uint32_t shared_count(shared_registry *registry) noexcept nogil:
    cdef shared_item *item
    cdef uint32_t count = 0
    shared_lock()
    item = registry.first
    while item != NULL:
        count += 1
        item = item.next
    shared_unlock()
    return count
