from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy, memset

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_hash
from ratelimitd._ext.scan.arena cimport arena_reserve
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.layout cimport waf_collection, waf_link, waf_range, waf_scratch, waf_set, waf_value
from ratelimitd._ext.waf.records cimport (
    RECORD_VARIABLES, WAF_KEPT_NUMBER, records_add, records_deprecate, records_expire, records_load, records_set, records_timeout, records_unset,
    waf_change, waf_kept, waf_record_facts,
)
from ratelimitd._ext.waf.store cimport (
    collection_of, number_of, number_sum, store_at, store_slot, value_number, value_set_number, value_set_text, value_unset,
)

cdef rl_view TIMEOUT = rl_view("timeout", 7)


cdef inline bint is_collection(uint16_t variable) noexcept nogil:
    return WAF_IP <= variable <= WAF_RESOURCE


cdef inline waf_collection *collection_at(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    return &scratch.collections[variable - WAF_IP]


cdef void collections_begin(waf_scratch *scratch) noexcept nogil:
    memset(scratch.collections, 0, sizeof(scratch.collections))


cdef bint collection_bound(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    return is_collection(variable) and collection_at(scratch, variable).bound


# ---- the key

cdef bint digest(waf_scratch *scratch, uint16_t variable, rl_view key, waf_collection *collection) noexcept nogil:
    """Of domain, collection, application (where sessions and users are its own) and key, each with its size in front."""
    cdef rl_view application = scratch.program.application if variable == WAF_SESSION or variable == WAF_USER else rl_view("", 0)
    cdef rl_view parts[3]
    cdef char *room
    cdef size_t size = 2
    cdef uint32_t i
    parts[0] = scratch.moment.domain
    parts[1] = application
    parts[2] = key
    room = arena_reserve(&scratch.memory, 2 + 3 * sizeof(uint32_t) + parts[0].size + parts[1].size + parts[2].size)
    if room == NULL:
        return False
    memcpy(room, &variable, 2)
    for i in range(3):
        memcpy(room + size, &parts[i].size, sizeof(uint32_t))
        size += sizeof(uint32_t)
        if parts[i].size:
            memcpy(room + size, parts[i].data, parts[i].size)
        size += parts[i].size
    key_hash(scratch.moment.secret, room, size, &collection.digest)
    return True


cdef void forget(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    """Its variables in the store."""
    cdef waf_range slots = scratch.program.collection_slots[variable - WAF_IP]
    cdef rl_view prefix = collection_of(variable)
    cdef rl_view name
    cdef uint32_t i
    for i in range(slots.first, slots.end):
        value_unset(&scratch.store[i])
    for i in range(scratch.dynamic_count):
        name = scratch.dynamic[scratch.dynamic_order[i]].name
        if name.size > prefix.size and memcmp(name.data, prefix.data, prefix.size) == 0:
            value_unset(&scratch.dynamic[scratch.dynamic_order[i]].value)


cdef void collection_bind(waf_scratch *scratch, uint16_t variable, rl_view key) noexcept nogil:
    cdef waf_collection *collection = collection_at(scratch, variable)
    forget(scratch, variable)
    collection.key = key
    collection.changed = 0
    collection.bound = collection.waiting = 0
    if scratch.moment.records != NULL:
        if digest(scratch, variable, key, collection):
            collection.bound = collection.waiting = 1
        else:
            scratch.out.error = 1


# ---- what its record holds

cdef void show(waf_scratch *scratch, rl_view prefix, const char *word, uint32_t size, int64_t number) noexcept nogil:
    """A fact about the record, if a rule names it."""
    cdef char name[32]
    cdef int32_t slot
    memcpy(name, prefix.data, prefix.size)
    memcpy(name + prefix.size, word, size)
    slot = store_slot(scratch, rl_view(&name[0], prefix.size + size))
    if slot >= 0:
        value_set_number(&scratch.store[slot], number)


cdef void show_facts(waf_scratch *scratch, rl_view prefix, rl_view key, const waf_record_facts *facts) noexcept nogil:
    cdef int64_t now_s = scratch.moment.now_ms // 1000
    cdef int64_t age = now_s - facts.created_s if facts.known else 0
    cdef int32_t slot
    cdef char name[32]
    show(scratch, prefix, "is_new", 6, not facts.known)
    show(scratch, prefix, "create_time", 11, facts.created_s if facts.known else now_s)
    show(scratch, prefix, "last_update_time", 16, facts.updated_s if facts.known else now_s)
    show(scratch, prefix, "timeout", 7, facts.timeout_s if facts.known else scratch.program.collection_timeout)
    show(scratch, prefix, "update_counter", 14, facts.updates)
    show(scratch, prefix, "update_rate", 11, <int64_t>facts.updates * 60 // age if age > 0 else 0)
    memcpy(name, prefix.data, prefix.size)
    memcpy(name + prefix.size, "key", 3)
    slot = store_slot(scratch, rl_view(&name[0], prefix.size + 3))
    if slot >= 0:
        value_set_text(&scratch.store[slot], key)


cdef void load(waf_scratch *scratch, uint16_t variable, waf_collection *collection) noexcept nogil:
    cdef waf_kept kept[RECORD_VARIABLES]
    cdef waf_record_facts facts
    cdef waf_value *value
    cdef rl_view prefix = collection_of(variable)
    cdef int count
    cdef int i
    collection.waiting = 0
    count = records_load(scratch.moment.records, &collection.digest, scratch.moment.now_ms, prefix, &scratch.memory, kept, &facts)
    show_facts(scratch, prefix, collection.key, &facts)
    if count < 0:
        scratch.out.error = 1
    for i in range(count):
        value = store_at(scratch, -1, kept[i].name, True)
        if value == NULL:
            return
        if kept[i].kind == WAF_KEPT_NUMBER:
            value_set_number(value, kept[i].number)
        else:
            value_set_text(value, kept[i].text)


cdef void collection_look(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    if is_collection(variable) and collection_at(scratch, variable).waiting:
        load(scratch, variable, collection_at(scratch, variable))


# ---- changes

cdef void per_period(rl_view text, int64_t *amount, int64_t *seconds) noexcept nogil:
    """ "60/300" """
    cdef const char *slash = <const char *>memchr(text.data, c'/', text.size) if text.size else NULL
    amount[0] = number_of(text)
    seconds[0] = number_of(rl_view(slash + 1, <uint32_t>(text.data + text.size - slash - 1))) if slash != NULL else 0


cdef void write(waf_scratch *scratch, const waf_set *change, const waf_change *to, rl_view name, rl_view text) noexcept nogil:
    """In the record, and then in the store as it is there."""
    cdef bint fits = True
    cdef int64_t number = number_of(text)
    cdef int64_t result
    cdef int64_t seconds
    cdef waf_value *value
    if change.change == WAF_CHANGE_UNSET:
        records_unset(scratch.moment.records, to)
        value = store_at(scratch, change.slot, name, False)
        if value != NULL:
            value_unset(value)
        return
    if change.change == WAF_CHANGE_EXPIRE:
        fits = records_expire(scratch.moment.records, to, number)
    elif change.change == WAF_CHANGE_DEPRECATE:
        per_period(text, &number, &seconds)
        if records_deprecate(scratch.moment.records, to, number, seconds, &result):
            value = store_at(scratch, change.slot, name, True)
            if value != NULL:
                value_set_number(value, result)
    elif change.change == WAF_CHANGE_SET:
        if to.name.size == TIMEOUT.size and memcmp(to.name.data, TIMEOUT.data, TIMEOUT.size) == 0:
            records_timeout(scratch.moment.records, to, number)
        else:
            fits = records_set(scratch.moment.records, to, text)
        value = store_at(scratch, change.slot, name, True)
        if value != NULL:
            value_set_text(value, text)
    else:
        fits = records_add(scratch.moment.records, to, -number if change.change == WAF_CHANGE_SUBTRACT else number, &result)
        value = store_at(scratch, change.slot, name, fits)
        if fits and value != NULL:
            value_set_number(value, result)
    if not fits:
        scratch.out.error = 1


cdef void collection_change(waf_scratch *scratch, const waf_link *link, const waf_set *change, rl_view name, rl_view value) noexcept nogil:
    cdef waf_collection *collection = collection_at(scratch, change.variable)
    cdef rl_view prefix = collection_of(change.variable)
    cdef waf_change to
    if link.of_response != scratch.answering:
        return      # not now, or the request's check has done it
    collection_look(scratch, change.variable)
    to.digest = collection.digest
    to.now_ms = scratch.moment.now_ms
    to.timeout_s = scratch.program.collection_timeout
    to.first = not collection.changed
    to.name = rl_view(name.data + prefix.size, name.size - prefix.size)
    collection.changed = 1
    write(scratch, change, &to, name, value)
