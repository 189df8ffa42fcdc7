from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimitd._ext.bytes.transform cimport rl_byte_classes, rl_transform, rl_transform_room
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve, arena_zeroed
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_scan
from ratelimitd._ext.waf.layout cimport (
    WAF_HITS, WAF_SEEN, waf_field, waf_group, waf_hit, waf_lane, waf_node, waf_row, waf_scratch, waf_seen, waf_slot, waf_source, waf_step,
    waf_string, waf_use,
)
from ratelimitd._ext.waf.operate cimport finds, is_sqli, is_xss

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)

cdef extern from *:
    uint32_t lowest_bit "__builtin_ctzll"(uint64_t bits) noexcept nogil

cdef enum:
    PROBES = 8          # of the table of seen strings; a miss only costs a second scan
    ASKED_SQLI = 1
    ASKED_XSS = 2


# Where the string that is being scanned comes from.
cdef struct origin:
    const waf_slot *slot
    uint32_t field
    uint16_t source
    bint is_name


cdef void hits_begin(waf_scratch *scratch) noexcept nogil:
    """Forgets the hits of the transaction before."""
    memset(scratch.hit_first, 0, scratch.program.link_count * sizeof(uint32_t))
    scratch.hit_count = 0


cdef void bound_hit(waf_scratch *scratch) noexcept nogil:
    scratch.out.error = 1
    scratch.out.inspected_all = 0


cdef void add_hit(waf_scratch *scratch, const origin *where, uint32_t link, rl_view text) noexcept nogil:
    cdef waf_hit *hit
    cdef uint32_t number
    if scratch.hit_count == WAF_HITS:
        bound_hit(scratch)
        return
    hit = &scratch.hits[scratch.hit_count]
    scratch.hit_count += 1
    number = scratch.hit_count
    hit.next = 0
    hit.field = where.field
    hit.source = where.source
    hit.is_name = where.is_name
    hit.text = text
    if scratch.hit_first[link]:
        scratch.hits[scratch.hit_last[link] - 1].next = number
    else:
        scratch.hit_first[link] = number
        if scratch.program.links[link].first:
            scratch.pending[link >> 6] |= <uint64_t>1 << (link & 63)
    scratch.hit_last[link] = number


cdef void apply_one(waf_scratch *scratch, const origin *where, const waf_group *group, uint32_t expression, rl_view text, uint64_t chains) noexcept nogil:
    """The links of the slot that look for the expression in strings of these chains. With multiMatch a link has a use for each step, in their
    order: a step that has left the string as it was is no match of its own."""
    cdef uint32_t first = group.first_use[expression]
    cdef uint32_t at
    cdef const waf_use *use
    for at in range(first, group.first_use[expression + 1]):
        use = &group.uses[at]
        if not (chains >> use.chain & 1 and where.slot.batch[use.batch >> 6] >> (use.batch & 63) & 1):
            continue
        if at > first and group.uses[at - 1].link == use.link and chains >> group.uses[at - 1].chain & 1:
            continue
        add_hit(scratch, where, use.link, text)


cdef bint wanted(const origin *where, const waf_group *group, uint32_t expression, uint64_t chains) noexcept nogil:
    cdef uint32_t at
    cdef const waf_use *use
    for at in range(group.first_use[expression], group.first_use[expression + 1]):
        use = &group.uses[at]
        if chains >> use.chain & 1 and where.slot.batch[use.batch >> 6] >> (use.batch & 63) & 1:
            return True
    return False


cdef void confirm(waf_scratch *scratch, const origin *where, const waf_group *group, uint64_t *hits, rl_view text, uint64_t chains) noexcept nogil:
    """Asks PCRE2 of what may match, once for each string and only when somebody wants to know."""
    cdef uint32_t words = (group.expressions + 63) // 64
    cdef uint64_t *maybes = hits + words
    cdef uint32_t word
    cdef uint32_t expression
    cdef uint64_t bits
    for word in range(words):
        bits = maybes[word] & ~hits[word]
        while bits:
            expression = word * 64 + lowest_bit(bits)
            bits &= bits - 1
            if not wanted(where, group, expression, chains):
                continue
            maybes[word] &= ~(<uint64_t>1 << (expression & 63))
            if finds(scratch, group.confirm[expression], text):
                hits[word] |= <uint64_t>1 << (expression & 63)


cdef void apply(waf_scratch *scratch, const origin *where, const waf_group *group, const uint64_t *hits, rl_view text, uint64_t chains) noexcept nogil:
    cdef uint32_t word
    cdef uint64_t bits
    for word in range((group.expressions + 63) // 64):
        bits = hits[word]
        while bits:
            apply_one(scratch, where, group, word * 64 + lowest_bit(bits), text, chains)
            bits &= bits - 1


cdef waf_seen *seen_entry(waf_scratch *scratch, int32_t group, rl_view text, uint64_t hash) noexcept nogil:
    """The entry of a string, or one to be filled; NULL when there is no room near."""
    cdef waf_seen *entry
    cdef uint32_t i
    hash ^= <uint64_t>group << 32
    for i in range(PROBES):
        entry = &scratch.seen[(hash + i) & (WAF_SEEN - 1)]
        if entry.round != scratch.round:
            return entry
        if entry.hash == hash and entry.group == group and entry.text.size == text.size and memcmp(entry.text.data, text.data, text.size) == 0:
            return entry
    return NULL


cdef struct scan_context:
    waf_scratch *scratch
    const waf_row *rows
    uint64_t *maybes


cdef int on_match(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *context) noexcept nogil:
    cdef scan_context *scan = <scan_context *>context
    cdef const waf_row *row = &scan.rows[id]
    cdef uint64_t *words = scan.scratch.hit_words if row.exact else scan.maybes
    scan.scratch.hit = 1
    words[row.expression >> 6] |= <uint64_t>1 << (row.expression & 63)
    return 0


cdef uint32_t bits_of(const waf_group *group, rl_view text) noexcept nogil:
    """What the group's table says of a string's bytes."""
    cdef const uint8_t *bytes = <const uint8_t *>text.data
    cdef uint32_t bits = 0
    cdef uint32_t i = 0
    while i + 4 <= text.size:
        bits |= group.table[bytes[i]] | group.table[bytes[i + 1]] | group.table[bytes[i + 2]] | group.table[bytes[i + 3]]
        i += 4
    while i < text.size:
        bits |= group.table[bytes[i]]
        i += 1
    return bits


cdef bint erase(waf_scratch *scratch, const uint8_t *erased, rl_view text, rl_view *out) noexcept nogil:
    """The string without some bytes; it lives until the arena is asked again."""
    cdef const uint8_t *bytes = <const uint8_t *>text.data
    cdef char *room = arena_reserve(&scratch.memory, text.size + 1)
    cdef uint32_t i
    cdef uint32_t size = 0
    if room == NULL:
        bound_hit(scratch)
        return False
    for i in range(text.size):
        room[size] = text.data[i]
        size += not erased[bytes[i]]
    out.data = room
    out.size = size
    return True


cdef void scan_lanes(waf_scratch *scratch, const waf_group *group, rl_view text) noexcept nogil:
    cdef uint32_t bits = bits_of(group, text)
    cdef uint32_t words = (group.expressions + 63) // 64
    cdef const waf_step *step = group.steps
    cdef const waf_lane *lane
    cdef const uint8_t *erased = NULL
    cdef rl_view short = text
    cdef scan_context context
    cdef uint32_t i
    if group.step_count == 0:
        return
    while bits & step.outside:
        step += 1
    context.scratch = scratch
    context.maybes = scratch.hit_words + words
    for i in range(step.lane_count):
        lane = &step.lanes[i]
        if lane.needs and not bits & lane.needs:
            continue
        context.rows = lane.rows
        if lane.erased != NULL and lane.erased != erased:
            if not erase(scratch, lane.erased, text, &short):
                continue
            erased = lane.erased
        if hs_scan(lane.database, short.data if lane.erased != NULL else text.data, short.size if lane.erased != NULL else text.size, 0, scratch.hs,
                   on_match, &context) != HS_SUCCESS:
            bound_hit(scratch)
    if group.ungated != NULL:
        scratch.hit = 1
        for i in range(words):
            context.maybes[i] |= group.ungated[i]


cdef uint64_t *hit_sets(waf_scratch *scratch, const waf_group *group) noexcept nogil:
    """Empty bit sets of what matches and what may."""
    cdef void *memory = arena_zeroed(&scratch.memory, 2 * ((group.expressions + 63) // 64) * 8)
    if memory == NULL:
        bound_hit(scratch)
    return <uint64_t *>memory


cdef void keep_hits(waf_scratch *scratch, const waf_group *group, waf_seen *entry) noexcept nogil:
    """Moves the bits that are set to the entry."""
    cdef size_t size = 2 * ((group.expressions + 63) // 64) * 8
    if not scratch.hit:
        return
    scratch.hit = 0
    entry.hits = hit_sets(scratch, group)
    if entry.hits != NULL:
        memcpy(entry.hits, scratch.hit_words, size)
    memset(scratch.hit_words, 0, size)


cdef void ask_libinjection(waf_scratch *scratch, const waf_group *group, const waf_slot *slot, waf_seen *entry, uint64_t chains) noexcept nogil:
    """Sets libinjection's two bits of the entry, each when it is first asked for."""
    cdef uint8_t matched = 0
    cdef uint32_t expression
    if chains & slot.sqli and not entry.asked & ASKED_SQLI:
        entry.asked |= ASKED_SQLI
        if is_sqli(entry.text):
            matched |= ASKED_SQLI
    if chains & slot.xss and not entry.asked & ASKED_XSS:
        entry.asked |= ASKED_XSS
        if is_xss(entry.text):
            matched |= ASKED_XSS
    if not matched:
        return
    if entry.hits == NULL:
        entry.hits = hit_sets(scratch, group)
        if entry.hits == NULL:
            return
    if matched & ASKED_SQLI:
        expression = group.expressions - 2
        entry.hits[expression >> 6] |= <uint64_t>1 << (expression & 63)
    if matched & ASKED_XSS:
        expression = group.expressions - 1
        entry.hits[expression >> 6] |= <uint64_t>1 << (expression & 63)


cdef void scan_text(waf_scratch *scratch, const origin *where, const waf_string *string) noexcept nogil:
    """One string against its group's databases, unless this transaction has seen it there."""
    cdef const waf_group *group = &scratch.program.groups[where.slot.group]
    cdef waf_seen once
    cdef waf_seen *entry
    if string.text.size == 0:
        apply(scratch, where, group, group.empty, string.text, string.chains)
        return
    entry = seen_entry(scratch, where.slot.group, string.text, string.hash)
    if entry == NULL:
        entry = &once
        entry.round = scratch.round - 1
    if entry.round != scratch.round:
        entry.round = scratch.round
        entry.group = where.slot.group
        entry.hash = string.hash ^ <uint64_t>where.slot.group << 32
        entry.text = string.text
        entry.hits = NULL
        entry.asked = 0
        scan_lanes(scratch, group, string.text)
        keep_hits(scratch, group, entry)
    if string.chains & (where.slot.sqli | where.slot.xss):
        ask_libinjection(scratch, group, where.slot, entry, string.chains)
    if entry.hits:
        confirm(scratch, where, group, entry.hits, string.text, string.chains)
        apply(scratch, where, group, entry.hits, string.text, string.chains)


# ---- transformations

cdef uint32_t add_string(waf_scratch *scratch, uint32_t count, rl_view text) noexcept nogil:
    """The index of a result among the value's strings; `count` when it is a new one."""
    cdef uint64_t hash = rl_hash(text)
    cdef waf_string *string
    cdef uint32_t i
    for i in range(count):
        string = &scratch.strings[i]
        if string.hash == hash and string.text.size == text.size and memcmp(string.text.data, text.data, text.size) == 0:
            return i
    string = &scratch.strings[count]
    string.text = text
    string.hash = hash
    string.chains = 0
    string.classes = rl_byte_classes(text)
    return count


cdef uint32_t transformed(waf_scratch *scratch, uint32_t count, uint32_t parent, uint32_t kind) noexcept nogil:
    """The index of a string's transformation; the string itself when nothing changes, or when a bound is hit."""
    cdef rl_view text = scratch.strings[parent].text
    cdef rl_view result
    cdef char *room = arena_reserve(&scratch.memory, rl_transform_room(kind, text.size))
    cdef uint32_t index
    if room == NULL:
        bound_hit(scratch)
        return parent
    if not rl_transform(kind, text, scratch.strings[parent].classes, room, &result.size):
        return parent
    result.data = room
    index = add_string(scratch, count, result)
    if index == count:
        arena_commit(&scratch.memory, result.size)
    return index


cdef uint32_t expand(waf_scratch *scratch, const waf_slot *slot, rl_view value) noexcept nogil:
    """Walks the trie: fills scratch.strings with the distinct results, each with the chains that made it. Returns how many."""
    cdef const waf_node *nodes = scratch.program.nodes
    cdef const waf_node *node
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


cdef void scan_value(waf_scratch *scratch, const origin *where, rl_view value) noexcept nogil:
    cdef const waf_slot *slot = where.slot
    cdef uint32_t i
    cdef uint32_t count
    cdef waf_string *only = &scratch.strings[0]
    if slot.group < 0:
        return
    only.classes = rl_byte_classes(value)
    if not only.classes & slot.classes:
        only.text = value
        only.hash = rl_hash(value)
        only.chains = slot.chains
        scan_text(scratch, where, only)
        return
    count = expand(scratch, slot, value)
    for i in range(count):
        if scratch.strings[i].chains:
            scan_text(scratch, where, &scratch.strings[i])


cdef void scan_source(waf_scratch *scratch, uint16_t source, uint32_t first) noexcept nogil:
    cdef const waf_source *wanted = &scratch.program.sources[source]
    cdef const waf_field *field
    cdef origin where
    if not wanted.wanted:
        return
    where.source = source
    while first:
        field = &scratch.fields[first - 1]
        where.field = first - 1
        where.is_name = True
        where.slot = &wanted.names[field.name_id if wanted.named else 0]
        scan_value(scratch, &where, field.name)
        where.is_name = False
        where.slot = &wanted.values[field.name_id if wanted.named else 0]
        scan_value(scratch, &where, field.value)
        first = field.next
