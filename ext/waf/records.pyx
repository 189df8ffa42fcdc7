from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport rl_spin, spin_lock, spin_unlock
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve, scan_arena
from ratelimitd._ext.waf.store cimport number_of, number_sum

cdef extern from "limit/memory.h" namespace "rl" nogil:
    void *memory_reserve(size_t bytes) noexcept
    void memory_release(void *start, size_t bytes) noexcept

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef enum:
    SHARDS = 64
    SHARD_RECORDS = 1024          # at least, so that one record cannot take half of a shard's cells
    LOOKS = 32                    # records that are compared when cells run out
    TRIES = 8                     # records that are given up for one cell
    SECONDS_MAX = 315360000       # ten years


# ---- the table

cdef waf_records *records_new(uint64_t max_records) noexcept nogil:
    cdef waf_records *self = <waf_records *>calloc(1, sizeof(waf_records))
    cdef uint32_t shards = 1
    cdef uint32_t each = SHARD_RECORDS
    cdef uint32_t i
    cdef size_t bytes
    cdef char *at
    if self == NULL:
        return NULL
    while shards < SHARDS and <uint64_t>shards * each < max_records:
        shards *= 2
    while <uint64_t>shards * each < max_records and each < <uint32_t>1 << 24:
        each *= 2
    bytes = each * (sizeof(waf_record) + RECORD_CELLS * sizeof(waf_cell))
    self.bytes = bytes * shards
    self.memory = memory_reserve(self.bytes)
    self.shards = <waf_shard *>aligned_alloc(64, shards * sizeof(waf_shard))
    if self.memory == NULL or self.shards == NULL:
        records_free(self)
        return NULL
    memset(self.shards, 0, shards * sizeof(waf_shard))
    self.shard_mask = shards - 1
    for i in range(shards):
        at = <char *>self.memory + i * bytes
        self.shards[i].cells = <waf_cell *>at
        self.shards[i].cell_count = RECORD_CELLS * each
        self.shards[i].records = <waf_record *>(at + RECORD_CELLS * each * sizeof(waf_cell))
        self.shards[i].record_count = each
        self.shards[i].group_mask = each // RECORD_WAYS - 1
    return self


cdef void records_free(waf_records *self) noexcept nogil:
    if self == NULL:
        return
    if self.memory != NULL:
        memory_release(self.memory, self.bytes)
    free(self.shards)
    free(self)


cdef void records_stats(waf_records *self, waf_records_stats *out) noexcept nogil:
    cdef uint32_t i
    memset(out, 0, sizeof(waf_records_stats))
    for i in range(self.shard_mask + 1):
        spin_lock(&self.shards[i].lock)
        out.records += self.shards[i].live
        out.evicted += self.shards[i].evicted
        out.max_records += self.shards[i].record_count
        spin_unlock(&self.shards[i].lock)
    out.bytes = self.bytes


cdef inline waf_shard *shard_of(waf_records *self, const key_digest *digest) noexcept nogil:
    return &self.shards[digest.hi & self.shard_mask]


# ---- texts: a variable's name, and its value behind it

cdef waf_text_cell *more_of(waf_shard *shard, uint32_t number) noexcept nogil:
    return <waf_text_cell *>&shard.cells[number - 1]


cdef void text_copy(waf_shard *shard, waf_cell *cell, uint32_t begin, uint32_t size, char *other, bint write) noexcept nogil:
    """Bytes [begin, begin + size) of the text, from or to another place."""
    cdef uint32_t room = CELL_TEXT
    cdef uint32_t start = 0
    cdef uint32_t part
    cdef uint32_t next = cell.more
    cdef char *text = cell.text
    while size:
        if begin < start + room:
            part = min(size, start + room - begin)
            if write:
                memcpy(text + (begin - start), other, part)
            else:
                memcpy(other, text + (begin - start), part)
            begin += part
            other += part
            size -= part
        if size:
            start += room
            room = MORE_TEXT
            text = more_of(shard, next).text
            next = more_of(shard, next).next


cdef bint is_named(waf_shard *shard, waf_cell *cell, rl_view name) noexcept nogil:
    cdef char text[RECORD_NAME_BYTES]
    if cell.name_size != name.size:
        return False
    if name.size <= CELL_TEXT:
        return memcmp(cell.text, name.data, name.size) == 0
    text_copy(shard, cell, 0, name.size, text, False)
    return memcmp(text, name.data, name.size) == 0


# ---- cells and records

cdef void cell_free(waf_shard *shard, uint32_t number) noexcept nogil:
    shard.cells[number - 1].next = shard.free
    shard.free = number


cdef void more_free(waf_shard *shard, uint32_t number) noexcept nogil:
    cdef uint32_t next
    while number:
        next = more_of(shard, number).next
        cell_free(shard, number)
        number = next


cdef void variable_free(waf_shard *shard, waf_record *record, uint32_t *link) noexcept nogil:
    """link: what holds the variable's number."""
    cdef uint32_t number = link[0]
    link[0] = shard.cells[number - 1].next
    more_free(shard, shard.cells[number - 1].more)
    cell_free(shard, number)
    record.variables -= 1


cdef void record_free(waf_shard *shard, waf_record *record) noexcept nogil:
    while record.first:
        variable_free(shard, record, &record.first)
    memset(record, 0, sizeof(waf_record))
    shard.live -= 1


cdef inline bint is_dead(const waf_record *record, int64_t now_ms) noexcept nogil:
    return now_ms >= (<int64_t>record.updated_s + record.timeout_s) * 1000


cdef inline bint is_worse(const waf_record *a, const waf_record *b, int64_t now_ms) noexcept nogil:
    """Would one rather give up a than b?"""
    cdef bint waits = a.waits_until_ms > now_ms
    if waits != (b.waits_until_ms > now_ms):
        return not waits
    return a.updated_s < b.updated_s


cdef bint make_cells(waf_shard *shard, const waf_record *keep, int64_t now_ms) noexcept nogil:
    """Gives up records until a cell is free."""
    cdef waf_record *record
    cdef waf_record *worst
    cdef uint32_t looked
    cdef uint32_t step
    cdef uint32_t turn
    for turn in range(TRIES):
        worst = NULL
        looked = 0
        for step in range(shard.record_count):
            shard.hand = shard.hand + 1 if shard.hand + 1 < shard.record_count else 0
            record = &shard.records[shard.hand]
            if not record.used or record == keep or record.first == 0:
                continue
            if is_dead(record, now_ms):
                worst = record
                break
            if worst == NULL or is_worse(record, worst, now_ms):
                worst = record
            looked += 1
            if looked == LOOKS:
                break
        if worst == NULL:
            return False
        shard.evicted += not is_dead(worst, now_ms)
        record_free(shard, worst)
        if shard.free:
            return True
    return False


cdef uint32_t cell_take(waf_shard *shard, const waf_record *keep, int64_t now_ms) noexcept nogil:
    """The number of a cell for this record; 0: there is none."""
    cdef uint32_t number
    if shard.free == 0 and shard.fresh < shard.cell_count:
        shard.fresh += 1
        return shard.fresh
    if shard.free == 0 and not make_cells(shard, keep, now_ms):
        return 0
    number = shard.free
    shard.free = shard.cells[number - 1].next
    return number


cdef waf_record *record_find(waf_shard *shard, const key_digest *digest, int64_t now_ms) noexcept nogil:
    """A live one, or NULL."""
    cdef waf_record *record = &shard.records[(digest.lo & shard.group_mask) * RECORD_WAYS]
    cdef uint32_t i
    for i in range(RECORD_WAYS):
        if record.used and record.digest.lo == digest.lo and record.digest.hi == digest.hi:
            if not is_dead(record, now_ms):
                return record
            record_free(shard, record)
            return NULL
        record += 1
    return NULL


cdef waf_record *record_make(waf_shard *shard, const waf_change *change) noexcept nogil:
    cdef waf_record *group = &shard.records[(change.digest.lo & shard.group_mask) * RECORD_WAYS]
    cdef waf_record *place = NULL
    cdef waf_record *worst = group
    cdef uint32_t i
    for i in range(RECORD_WAYS):
        if not group[i].used or is_dead(&group[i], change.now_ms):
            place = &group[i]
            break
        if is_worse(&group[i], worst, change.now_ms):
            worst = &group[i]
    if place == NULL:
        place = worst
        shard.evicted += 1
    if place.used:
        record_free(shard, place)
    place.digest = change.digest
    place.created_s = place.updated_s = <uint32_t>(change.now_ms // 1000)
    place.timeout_s = change.timeout_s
    place.used = 1
    shard.live += 1
    return place


cdef waf_record *record_changed(waf_shard *shard, const waf_change *change) noexcept nogil:
    """The record, made if need be, as one that has changed now."""
    cdef waf_record *record = record_find(shard, &change.digest, change.now_ms)
    cdef bint fresh = record == NULL
    if fresh:
        record = record_make(shard, change)
    record.updated_s = <uint32_t>(change.now_ms // 1000)
    if (fresh or change.first) and record.updates < 0xffffffffU:
        record.updates += 1
    return record


cdef uint32_t *variable_find(waf_shard *shard, waf_record *record, rl_view name, int64_t now_ms) noexcept nogil:
    """What holds the variable's number, or where it would stand: 0. Frees what has expired on the way."""
    cdef uint32_t *link = &record.first
    cdef waf_cell *cell
    while link[0]:
        cell = &shard.cells[link[0] - 1]
        if cell.expires_ms and cell.expires_ms <= now_ms:
            variable_free(shard, record, link)
        elif is_named(shard, cell, name):
            return link
        else:
            link = &cell.next
    return link


cdef bint more_fit(waf_shard *shard, waf_record *record, waf_cell *cell, uint32_t size, int64_t now_ms) noexcept nogil:
    """Text cells for a text of this size, no more and no fewer; False: there are too few, and it is as it was, but for room to spare."""
    cdef uint32_t *link = &cell.more
    cdef uint32_t have = CELL_TEXT
    cdef uint32_t number
    while have < size:
        if link[0] == 0:
            number = cell_take(shard, record, now_ms)
            if number == 0:
                return False
            more_of(shard, number).next = 0
            link[0] = number
        link = &more_of(shard, link[0]).next
        have += MORE_TEXT
    more_free(shard, link[0])
    link[0] = 0
    return True


cdef waf_cell *variable_make(waf_shard *shard, waf_record *record, const waf_change *change) noexcept nogil:
    """The variable, made if need be; NULL: no room."""
    cdef uint32_t *link
    cdef uint32_t number
    cdef waf_cell *cell
    if change.name.size == 0 or change.name.size > RECORD_NAME_BYTES:
        return NULL
    link = variable_find(shard, record, change.name, change.now_ms)
    if link[0]:
        return &shard.cells[link[0] - 1]
    if record.variables == RECORD_VARIABLES:
        return NULL
    number = cell_take(shard, record, change.now_ms)
    if number == 0:
        return NULL
    cell = &shard.cells[number - 1]
    memset(cell, 0, sizeof(waf_cell))
    if not more_fit(shard, record, cell, change.name.size, change.now_ms):
        more_free(shard, cell.more)
        cell_free(shard, number)
        return NULL
    cell.name_size = <unsigned char>change.name.size
    cell.since_s = <uint32_t>(change.now_ms // 1000)
    text_copy(shard, cell, 0, change.name.size, <char *>change.name.data, True)
    link[0] = number
    record.variables += 1
    return cell


cdef int64_t number_in(waf_shard *shard, waf_cell *cell) noexcept nogil:
    cdef char text[32]
    cdef uint32_t size = min(<uint32_t>cell.value_size, <uint32_t>sizeof(text))
    if cell.kind == WAF_KEPT_NUMBER:
        return cell.number
    if cell.kind == WAF_KEPT_NOTHING:
        return 0
    text_copy(shard, cell, cell.name_size, size, text, False)
    return number_of(rl_view(&text[0], size))


cdef void set_number(waf_shard *shard, waf_record *record, waf_cell *cell, int64_t number) noexcept nogil:
    cell.kind = WAF_KEPT_NUMBER
    cell.number = number
    cell.value_size = 0
    more_fit(shard, record, cell, cell.name_size, 0)    # only gives back


cdef bint set_text(waf_shard *shard, waf_record *record, waf_cell *cell, rl_view text, int64_t now_ms) noexcept nogil:
    if not more_fit(shard, record, cell, cell.name_size + text.size, now_ms):
        return False
    text_copy(shard, cell, cell.name_size, text.size, <char *>text.data, True)
    cell.kind = WAF_KEPT_TEXT
    cell.value_size = <unsigned short>text.size
    return True


cdef inline int64_t seconds_within(int64_t seconds) noexcept nogil:
    return max(<int64_t>0, min(seconds, <int64_t>SECONDS_MAX))


# ---- calls

cdef int records_load(
    waf_records *self, const key_digest *digest, int64_t now_ms, rl_view prefix, scan_arena *memory, waf_kept *out, waf_record_facts *facts) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, digest)
    cdef waf_record *record
    cdef int count = 0
    memset(facts, 0, sizeof(waf_record_facts))
    spin_lock(&shard.lock)
    record = record_find(shard, digest, now_ms)
    if record != NULL:
        facts.known = 1
        facts.created_s = record.created_s
        facts.updated_s = record.updated_s
        facts.timeout_s = record.timeout_s
        facts.updates = record.updates
        count = load_variables(shard, record, now_ms, prefix, memory, out)
    spin_unlock(&shard.lock)
    return count


cdef int load_variables(waf_shard *shard, waf_record *record, int64_t now_ms, rl_view prefix, scan_arena *memory, waf_kept *out) noexcept nogil:
    cdef uint32_t *link = &record.first
    cdef waf_cell *cell
    cdef char *room
    cdef uint32_t size
    cdef int count = 0
    while link[0]:
        cell = &shard.cells[link[0] - 1]
        if cell.expires_ms and cell.expires_ms <= now_ms:
            variable_free(shard, record, link)
            continue
        link = &cell.next
        if cell.kind == WAF_KEPT_NOTHING:
            continue
        size = prefix.size + cell.name_size + cell.value_size
        room = arena_reserve(memory, size)
        if room == NULL:
            return -1
        arena_commit(memory, size)
        memcpy(room, prefix.data, prefix.size)
        text_copy(shard, cell, 0, <uint32_t>cell.name_size + cell.value_size, room + prefix.size, False)
        out[count].name = rl_view(room, prefix.size + cell.name_size)
        out[count].text = rl_view(room + prefix.size + cell.name_size, cell.value_size)
        out[count].number = cell.number
        out[count].kind = cell.kind
        count += 1
    return count


cdef bint records_set(waf_records *self, const waf_change *change, rl_view text) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, &change.digest)
    cdef waf_record *record
    cdef waf_cell *cell
    cdef bint done = False
    if text.size > RECORD_VALUE_BYTES:
        return False
    spin_lock(&shard.lock)
    record = record_changed(shard, change)
    cell = variable_make(shard, record, change)
    if cell != NULL:
        done = set_text(shard, record, cell, text, change.now_ms)
    spin_unlock(&shard.lock)
    return done


cdef bint records_add(waf_records *self, const waf_change *change, int64_t delta, int64_t *sum) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, &change.digest)
    cdef waf_record *record
    cdef waf_cell *cell
    spin_lock(&shard.lock)
    record = record_changed(shard, change)
    cell = variable_make(shard, record, change)
    if cell != NULL:
        sum[0] = number_sum(number_in(shard, cell), delta)
        set_number(shard, record, cell, sum[0])
    spin_unlock(&shard.lock)
    return cell != NULL


cdef bint records_expire(waf_records *self, const waf_change *change, int64_t seconds) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, &change.digest)
    cdef waf_record *record
    cdef waf_cell *cell
    spin_lock(&shard.lock)
    record = record_changed(shard, change)
    cell = variable_make(shard, record, change)
    if cell != NULL:
        cell.expires_ms = change.now_ms + 1000 * seconds_within(seconds)
        record.waits_until_ms = max(record.waits_until_ms, cell.expires_ms)
    spin_unlock(&shard.lock)
    return cell != NULL


cdef bint records_timeout(waf_records *self, const waf_change *change, int64_t seconds) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, &change.digest)
    spin_lock(&shard.lock)
    record_changed(shard, change).timeout_s = <uint32_t>seconds_within(seconds)
    spin_unlock(&shard.lock)
    return True


cdef bint records_deprecate(waf_records *self, const waf_change *change, int64_t amount, int64_t seconds, int64_t *left) noexcept nogil:
    """Whole periods only; what is left of one counts the next time."""
    cdef waf_shard *shard = shard_of(self, &change.digest)
    cdef waf_record *record
    cdef waf_cell *cell
    cdef uint32_t *link
    cdef int64_t periods = 0
    cdef bint known = False
    if amount <= 0 or seconds <= 0:
        return False
    spin_lock(&shard.lock)
    record = record_find(shard, &change.digest, change.now_ms)
    if record != NULL:
        link = variable_find(shard, record, change.name, change.now_ms)
        if link[0]:
            cell = &shard.cells[link[0] - 1]
            known = cell.kind != WAF_KEPT_NOTHING
            left[0] = number_in(shard, cell)
            periods = max(<int64_t>0, change.now_ms // 1000 - cell.since_s) // seconds
            if periods:
                cell.since_s += <uint32_t>(periods * seconds)
            if periods and left[0] > 0:
                left[0] = left[0] - amount * periods if left[0] // amount >= periods else 0
                set_number(shard, record, cell, left[0])
                record_changed(shard, change)
    spin_unlock(&shard.lock)
    return known


cdef void records_unset(waf_records *self, const waf_change *change) noexcept nogil:
    cdef waf_shard *shard = shard_of(self, &change.digest)
    cdef waf_record *record
    cdef uint32_t *link
    spin_lock(&shard.lock)
    record = record_find(shard, &change.digest, change.now_ms)
    if record != NULL:
        link = variable_find(shard, record, change.name, change.now_ms)
        if link[0]:
            variable_free(shard, record, link)
            record_changed(shard, change)
    spin_unlock(&shard.lock)
