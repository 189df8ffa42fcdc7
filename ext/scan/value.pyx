from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcmp, memcpy, memset, strlen

from ratelimitd._ext.bytes.transform cimport rl_byte_classes, rl_transform, rl_transform_room
from ratelimitd._ext.core cimport RL_MAX_MATCHES, rl_rule_match, rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve, arena_zeroed
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_scan
from ratelimitd._ext.scan.layout cimport (
    SCAN_KINDS, SCAN_SEEN, scan_kind, scan_lane, scan_name, scan_node, scan_program, scan_result, scan_rule, scan_scratch, scan_seen, scan_slot,
    scan_string, scan_use,
)

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)

cdef extern from *:
    uint32_t lowest_bit "__builtin_ctzll"(uint64_t bits) noexcept nogil

cdef enum:
    NAME_BYTES = 96   # of a field's name in a match
    PROBES = 8        # of the seen table; a miss only costs a second scan

# By plan.Target.
cdef const char *KIND_NAMES[SCAN_KINDS]
KIND_NAMES[:] = [
    b"method", b"path", b"query", b"args", b"args_names", b"headers", b"headers_names", b"cookies", b"cookies_names", b"body", b"host",
    b"files_names",
]


cdef uint8_t lower(uint8_t c) noexcept nogil:
    return c + 32 if c'A' <= c <= c'Z' else c


cdef uint32_t name_hash(rl_view name) noexcept nogil:
    cdef uint32_t hash = <uint32_t>2166136261
    cdef uint32_t i
    for i in range(name.size):
        hash = (hash ^ lower(<uint8_t>name.data[i])) * <uint32_t>16777619
    return hash ^ hash >> 15


cdef const scan_slot *slot_of(const scan_kind *kind, rl_view name) noexcept nogil:
    """The slot of a field's name."""
    cdef uint32_t i
    cdef uint32_t at
    cdef const scan_name *entry
    if kind.name_count == 0:
        return kind.slots
    at = name_hash(name) & kind.name_mask
    while kind.names[at].slot:
        entry = &kind.names[at]
        if entry.name.size == name.size:
            i = 0
            while i < name.size and lower(<uint8_t>name.data[i]) == <uint8_t>entry.name.data[i]:
                i += 1
            if i == name.size:
                return &kind.slots[entry.slot]
        at = (at + 1) & kind.name_mask
    return kind.slots


cdef bint equal(rl_view a, rl_view b) noexcept nogil:
    return a.size == b.size and (a.data == b.data or memcmp(a.data, b.data, a.size) == 0)


cdef rl_view target_text(scan_scratch *scratch, uint32_t kind, rl_view name) noexcept nogil:
    """"args:id", safe to print."""
    cdef const char *digits = "0123456789ABCDEF"
    cdef rl_view text
    cdef uint32_t i
    cdef uint32_t size = <uint32_t>strlen(KIND_NAMES[kind])
    cdef uint8_t c
    cdef char *room
    text.data = KIND_NAMES[kind]
    text.size = size
    if name.size == 0:
        return text
    room = arena_reserve(&scratch.memory, size + 1 + 3 * NAME_BYTES)
    if room == NULL:
        return text
    memcpy(room, text.data, size)
    room[size] = c':'
    size += 1
    for i in range(name.size if name.size < <uint32_t>NAME_BYTES else <uint32_t>NAME_BYTES):
        c = <uint8_t>name.data[i]
        if 0x20 < c < 0x7f and c != c'%':
            room[size] = <char>c
            size += 1
        else:
            room[size] = c'%'
            room[size + 1] = digits[c >> 4]
            room[size + 2] = digits[c & 15]
            size += 3
    arena_commit(&scratch.memory, size)
    text.data = room
    text.size = size
    return text


cdef void fire(scan_scratch *scratch, uint32_t index, uint32_t kind, rl_view name) noexcept nogil:
    cdef const scan_rule *rule = &scratch.program.rules[index]
    cdef scan_result *out = scratch.out
    cdef rl_rule_match *match
    cdef bint first_deny = rule.deny and out.deny_match < 0
    scratch.fired[index >> 6] |= <uint64_t>1 << (index & 63)
    out.score = out.score + rule.score if out.score <= <uint32_t>0xffffffff - rule.score else <uint32_t>0xffffffff
    if out.match_count < RL_MAX_MATCHES:
        match = &out.matches[out.match_count]
        out.match_count += 1
    elif first_deny:
        match = &out.matches[RL_MAX_MATCHES - 1]   # what decides must be among those that are told
    else:
        return
    if first_deny:
        out.deny_match = <int>(match - out.matches)
    match.id = rule.id
    match.score = rule.score
    match.target = target_text(scratch, kind, name)


cdef void apply(scan_scratch *scratch, const scan_slot *slot, const uint64_t *hits, uint64_t chains, uint32_t kind, rl_view name) noexcept nogil:
    """Fires the rules that look at this field and want one of the chains, in their order."""
    cdef const scan_lane *lane = &scratch.program.lanes[slot.lane]
    cdef const scan_use *use
    cdef uint32_t words = (scratch.program.rule_count + 63) // 64
    cdef uint32_t expression
    cdef uint32_t word
    cdef uint32_t at
    cdef uint64_t bits
    memset(scratch.firing, 0, words * sizeof(uint64_t))
    for word in range((lane.expressions + 63) // 64):
        bits = hits[word]
        while bits:
            expression = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            for at in range(lane.first_use[expression], lane.first_use[expression + 1]):
                use = &lane.uses[at]
                if chains >> use.chain & 1:
                    scratch.firing[use.rule >> 6] |= <uint64_t>1 << (use.rule & 63)
    for at in range(words):
        bits = scratch.firing[at] & slot.rules[at] & ~scratch.fired[at]
        while bits:
            fire(scratch, at * 64 + lowest_bit(bits), kind, name)
            bits &= bits - 1


cdef int on_match(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *context) noexcept nogil:
    cdef scan_scratch *scratch = <scan_scratch *>context
    if not scratch.hit:
        scratch.hit = 1
        memset(scratch.hits, 0, scratch.words * sizeof(uint64_t))
    scratch.hits[id >> 6] |= <uint64_t>1 << (id & 63)
    return 0


cdef scan_seen *seen_entry(scan_scratch *scratch, uint32_t lane, rl_view text, uint64_t hash) noexcept nogil:
    """The entry of a string, a free one for it, or NULL."""
    cdef uint32_t i
    cdef scan_seen *entry
    for i in range(PROBES):
        entry = &scratch.seen[(hash + i) & (SCAN_SEEN - 1)]
        if entry.round != scratch.round:
            return entry
        if entry.hash == hash and entry.lane == <int>lane and equal(entry.text, text):
            return entry
    return NULL


cdef const uint64_t *hits_in(scan_scratch *scratch, uint32_t lane_index, rl_view text, uint64_t hash) noexcept nogil:
    """The expressions of a lane that a string matches, good until the next one, or NULL: scanned, unless this scan has seen it there."""
    cdef const scan_lane *lane = &scratch.program.lanes[lane_index]
    cdef scan_seen *entry = seen_entry(scratch, lane_index, text, hash)
    cdef uint64_t *kept = NULL
    cdef size_t size = (lane.expressions + 63) // 64 * 8
    if entry and entry.round == scratch.round:
        return entry.hits
    scratch.hit = 0
    if hs_scan(lane.database, text.data, text.size, 0, scratch.hs, on_match, scratch) != HS_SUCCESS:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
    if scratch.hit:
        kept = <uint64_t *>arena_zeroed(&scratch.memory, size)
        if kept == NULL:
            return scratch.hits
        memcpy(kept, scratch.hits, size)
    if entry:
        entry.round = scratch.round
        entry.lane = <int>lane_index
        entry.hash = hash
        entry.text = text
        entry.hits = kept
    return kept


cdef void scan_text(scan_scratch *scratch, const scan_slot *slot, uint32_t kind, rl_view name, rl_view text, uint64_t hash, uint64_t chains) noexcept nogil:
    """One string against its lane's database."""
    cdef const uint64_t *hits = NULL
    if text.size != 0:   # a pattern that matches nothing at all does not compile
        hits = hits_in(scratch, <uint32_t>slot.lane, text, hash)
        if hits:
            apply(scratch, slot, hits, chains, kind, name)
    if scratch.watch:
        scratch.watch(scratch.watcher, slot, kind, name, text, chains, hits)


cdef uint32_t add_string(scan_scratch *scratch, uint32_t count, rl_view text) noexcept nogil:
    """The index of a result among the value's strings; `count` when it is a new one."""
    cdef uint64_t hash = rl_hash(text)
    cdef scan_string *string
    cdef uint32_t i
    for i in range(count):
        if scratch.strings[i].hash == hash and equal(scratch.strings[i].text, text):
            return i
    string = &scratch.strings[count]
    string.text = text
    string.hash = hash
    string.chains = 0
    string.classes = rl_byte_classes(text)
    return count


cdef uint32_t transformed(scan_scratch *scratch, uint32_t count, uint32_t parent, uint32_t kind) noexcept nogil:
    """The index of a string's transformation; the string itself when nothing changes, or when a bound is hit."""
    cdef rl_view text = scratch.strings[parent].text
    cdef rl_view result
    cdef char *room = arena_reserve(&scratch.memory, rl_transform_room(kind, text.size))
    cdef uint32_t index
    if room == NULL:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return parent
    if not rl_transform(kind, text, scratch.strings[parent].classes, room, &result.size):
        return parent
    result.data = room
    index = add_string(scratch, count, result)
    if index == count:
        arena_commit(&scratch.memory, result.size)
    return index


cdef uint32_t expand(scan_scratch *scratch, const scan_slot *slot, rl_view value) noexcept nogil:
    """Walks the trie: fills scratch.strings with the distinct results, each with the chains that made it. Returns how many."""
    cdef const scan_node *nodes = scratch.program.nodes
    cdef const scan_node *node
    cdef uint32_t count = 1
    cdef uint32_t i = 0
    cdef uint32_t string = 0
    cdef uint32_t parent
    add_string(scratch, 0, value)
    while i < scratch.program.node_count:
        node = &nodes[i]
        if not node.chains & slot.chains:
            i = node.end
            continue
        if i > 0:
            parent = scratch.trail[node.depth - 1]
            if not scratch.strings[parent].classes & node.classes_below:
                scratch.strings[parent].chains |= node.chains & slot.chains
                i = node.end
                continue
            string = transformed(scratch, count, parent, node.kind) if scratch.strings[parent].classes & node.classes else parent
            if string == count:
                count += 1
        scratch.trail[node.depth] = string
        if node.chain >= 0:
            scratch.strings[string].chains |= <uint64_t>1 << node.chain & slot.chains
        i += 1
    return count


cdef void scan_value(scan_scratch *scratch, uint32_t kind, rl_view name, rl_view value) noexcept nogil:
    cdef const scan_slot *slot = slot_of(&scratch.program.kinds[kind], name)
    cdef uint32_t i
    cdef uint32_t count
    if scratch.watch:
        scratch.watch(scratch.watcher, slot, kind, name, value, 0, NULL)
    if slot.lane < 0:
        return
    if not rl_byte_classes(value) & slot.classes:
        scan_text(scratch, slot, kind, name, value, rl_hash(value), slot.chains)
        return
    count = expand(scratch, slot, value)
    for i in range(count):
        if scratch.strings[i].chains:
            scan_text(scratch, slot, kind, name, scratch.strings[i].text, scratch.strings[i].hash, scratch.strings[i].chains)
