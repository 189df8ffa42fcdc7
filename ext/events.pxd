# Decisions worth telling: a ring per worker, written by the worker, emptied by the control plane. Full: the event is dropped and counted.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_rule_match, rl_view


cdef enum:
    EVENT_RING = 2048     # a power of two
    EVENT_MATCHES = 8
    DECIDER_NONE = 0      # what decided_by names
    DECIDER_LIMIT = 1
    DECIDER_LIST = 2
    DECIDER_RULE = 3
    DECIDER_PARTIAL_BODY = 4  # nothing by name: the body was cut
    DECIDER_PENALTY = 5


cdef struct event_text:
    uint16_t size
    char data[126]


cdef struct event_path:
    uint16_t size
    char data[254]


# A rule that matched.
cdef struct event_match:
    uint32_t score
    uint32_t value_size   # of the whole value
    uint16_t id_size
    uint16_t target_size
    uint16_t kept         # bytes of the value that are here
    char id[64]           # names of rules are no longer
    char target[94]
    char value[128]


# Everything is copied: the snapshot may be gone when the event is read.
cdef struct event:
    int64_t time_ns
    uint64_t reference
    uint32_t weight       # decisions that this one stands for
    uint32_t score
    uint16_t status
    uint8_t decision
    uint8_t reason
    uint8_t shadow
    uint8_t match_count
    uint8_t more          # matches that found no room
    uint8_t response      # it is about a response
    uint8_t secret        # the domain hides keys: no value may be shown in clear
    uint8_t decider       # DECIDER_*
    event_text domain
    event_text decided_by
    event_text banned_by  # the penalty that banned a key after this check, ...
    uint32_t banned_s     # ... and for how long; 0: none did
    event_text key
    event_text client
    event_text method
    event_path path
    event_match matches[EVENT_MATCHES]


cdef struct event_ring:
    event *slots
    uint64_t head         # next to write; the worker's
    uint64_t tail         # next to read; the control plane's
    uint64_t lost


cdef int ring_init(event_ring *ring) noexcept nogil
cdef void ring_free(event_ring *ring) noexcept nogil
# The slot to fill, or NULL when the ring is full (counted). ring_push publishes it.
cdef event *ring_claim(event_ring *ring) noexcept nogil
cdef void ring_push(event_ring *ring) noexcept nogil
cdef object ring_pop(event_ring *ring, int limit)     # list of dicts, see _engine.pyi Event
cdef void event_set(event_text *out, rl_view text) noexcept nogil
cdef void event_set_path(event_path *out, rl_view text) noexcept nogil
cdef void event_set_match(event_match *out, const rl_rule_match *match) noexcept nogil
