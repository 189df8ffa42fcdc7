"""The log ring: single producer (a worker), single consumer (the control plane, under the interpreter lock)."""
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from libc.stdint cimport uint16_t, uint32_t

from ratelimitd._ext.core cimport RL_DENY, rl_count, rl_load_acquire, rl_rule_match, rl_store_release, rl_view

REASONS = ("", "allow_list", "deny_list", "over_limit", "scan", "partial_body", "no_policy", "overload", "penalty", "store_lost")

DECIDERS = ("", "limit", "list", "rule", "partial_body", "penalty")


cdef int ring_init(event_ring *ring) noexcept nogil:
    ring.head = ring.tail = ring.lost = 0
    ring.slots = <event *>calloc(EVENT_RING, sizeof(event))
    return 0 if ring.slots != NULL else -1


cdef void ring_free(event_ring *ring) noexcept nogil:
    free(ring.slots)
    ring.slots = NULL


cdef event *ring_claim(event_ring *ring) noexcept nogil:
    if ring.head - rl_load_acquire(&ring.tail) >= EVENT_RING:
        rl_count(&ring.lost, 1)
        return NULL
    return &ring.slots[ring.head & (EVENT_RING - 1)]


cdef void ring_push(event_ring *ring) noexcept nogil:
    rl_store_release(&ring.head, ring.head + 1)


cdef void event_set(event_text *out, rl_view text) noexcept nogil:
    out.size = <unsigned short>min(text.size, <unsigned int>sizeof(out.data))
    if out.size:
        memcpy(out.data, text.data, out.size)


cdef void event_set_path(event_path *out, rl_view text) noexcept nogil:
    out.size = <unsigned short>min(text.size, <unsigned int>sizeof(out.data))
    if out.size:
        memcpy(out.data, text.data, out.size)


cdef uint16_t _keep(char *out, uint32_t room, rl_view text) noexcept nogil:
    """As much as there is room for; how much that is."""
    cdef uint32_t size = min(text.size, room)
    if size:
        memcpy(out, text.data, size)
    return <uint16_t>size


cdef void event_set_match(event_match *out, const rl_rule_match *match) noexcept nogil:
    out.score = match.score
    out.value_size = match.value.size
    out.id_size = _keep(out.id, sizeof(out.id), match.id)
    out.target_size = _keep(out.target, sizeof(out.target), match.target)
    out.kept = _keep(out.value, sizeof(out.value), match.value)


cdef dict _match(const event_match *match):
    return {
        "id": match.id[:match.id_size].decode("utf-8", "replace"),
        "target": match.target[:match.target_size].decode("utf-8", "replace"),
        "score": match.score,
        "value": <bytes>match.value[:match.kept],
        "size": match.value_size,
    }


cdef str _text(const event_text *text):
    return text.data[:text.size].decode("utf-8", "replace")


cdef object ring_pop(event_ring *ring, int limit):
    cdef unsigned long long head = rl_load_acquire(&ring.head)
    cdef unsigned long long tail = ring.tail
    cdef event *one
    cdef int index
    out = []
    while tail != head and len(out) < limit:
        one = &ring.slots[tail & (EVENT_RING - 1)]
        out.append({
            "time_ns": one.time_ns,
            "domain": _text(&one.domain),
            "decision": "deny" if one.decision == RL_DENY else "allow",
            "reason": REASONS[one.reason],
            "shadow": bool(one.shadow),
            "decider": DECIDERS[one.decider],
            "limit": _text(&one.decided_by),
            "key": _text(&one.key),
            "banned_by": _text(&one.banned_by),
            "banned_seconds": one.banned_s,
            "client": _text(&one.client),
            "method": _text(&one.method),
            "path": one.path.data[:one.path.size].decode("utf-8", "replace"),
            "status": one.status,
            "score": one.score,
            "matches": [_match(&one.matches[index]) for index in range(one.match_count)],
            "more_matches": one.more,
            "phase": "response" if one.response else "request",
            "secret": bool(one.secret),
            "reference": f"{one.reference:016x}" if one.reference else "",
            "weight": one.weight,
        })
        tail += 1
    rl_store_release(&ring.tail, tail)
    return out
