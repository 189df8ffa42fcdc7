from libc.stdint cimport uint32_t, uint64_t

from ratelimitd._ext.bytes.transform cimport rl_byte_classes, rl_transform, rl_transform_room
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve, scan_arena
from ratelimitd._ext.waf.act cimport act_on_match, act_on_rule
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.fields cimport digits
from ratelimitd._ext.waf.layout cimport (
    WAF_FIRED, WAF_LITERAL, WAF_MATCHED, waf_fired, waf_hit, waf_item, waf_link, waf_program, waf_scratch, waf_selector,
)
from ratelimitd._ext.waf.operate cimport capture, operate
from ratelimitd._ext.waf.select cimport (
    waf_cursor, cursor_next, cursor_start, item_excluded, selector_count, selector_holds, variable_covers,
)
from ratelimitd._ext.waf.text cimport text_fill
from ratelimitd._ext.waf.watch cimport watch_broken, watch_fired, watch_passed, watch_skipped

cdef extern from *:
    uint32_t lowest_bit "__builtin_ctzll"(uint64_t bits) noexcept nogil

cdef rl_view NOTHING = rl_view("", 0)


# ---- one link

cdef void matched(waf_scratch *scratch, const waf_link *link, const waf_item *item) noexcept nogil:
    """A value matched: it becomes MATCHED_VAR, and what the link sets is set."""
    if scratch.matched_count < WAF_MATCHED:
        scratch.matched_count += 1
    scratch.matched[scratch.matched_count - 1] = item[0]
    act_on_match(scratch, link)


cdef bint try_value(waf_scratch *scratch, const waf_link *link, rl_view argument, waf_item *item) noexcept nogil:
    if not operate(scratch, link, argument, item.value):
        return False
    matched(scratch, link, item)
    return True


cdef bint try_steps(waf_scratch *scratch, const waf_link *link, rl_view argument, waf_item *item) noexcept nogil:
    """The operator on the transformed value; with multiMatch on every distinct step on the way."""
    cdef bint any = False
    cdef uint32_t i
    cdef rl_view result
    cdef char *room
    if link.multi_match:
        any = try_value(scratch, link, argument, item)
    for i in range(link.step_count):
        room = arena_reserve(&scratch.memory, rl_transform_room(link.steps[i], item.value.size) + 1)
        if room == NULL:
            scratch.out.error = 1
            return any
        if not rl_transform(link.steps[i], item.value, rl_byte_classes(item.value), room, &result.size):
            continue
        arena_commit(&scratch.memory, result.size)
        result.data = room
        item.value = result
        if link.multi_match:
            any |= try_value(scratch, link, argument, item)
    return any if link.multi_match else try_value(scratch, link, argument, item)


cdef bint try_item(waf_scratch *scratch, const waf_link *link, rl_view argument, waf_item *item) noexcept nogil:
    """Gives back the memory of transformations that nobody holds on to: many values times many links would use up the budget."""
    cdef scan_arena before = scratch.memory
    if try_steps(scratch, link, argument, item):
        return True
    if not (link.negated and link.capture):    # what did not match may be in TX:0 all the same
        scratch.memory.current = before.current
        scratch.memory.used = before.used
        scratch.memory.committed = before.committed
    return False


cdef bint evaluate_items(waf_scratch *scratch, const waf_link *link, uint32_t index) noexcept nogil:
    """Every item of every selector, in order."""
    cdef bint any = False
    cdef bint limits = link.exclude_count or scratch.removal_count
    cdef uint32_t i
    cdef uint32_t limit = scratch.matched_count
    cdef rl_view argument = text_fill(scratch, &link.argument, False)
    cdef const waf_selector *selector
    cdef waf_cursor cursor
    cdef waf_item item
    for i in range(link.selector_count):
        selector = &link.selectors[i]
        if selector.count:
            item.variable = selector.variable
            item.name = selector.name
            item.value = digits(scratch, selector_count(scratch, selector, limit))
            any |= try_item(scratch, link, argument, &item)
            continue
        cursor_start(scratch, selector, limit, &cursor)
        while cursor_next(scratch, &cursor, &item):
            if limits and item_excluded(scratch, link, index, &item):
                continue
            any |= try_item(scratch, link, argument, &item)
            if any and link.once:
                return True
    return any


cdef bint holds_hit(waf_scratch *scratch, const waf_selector *selector, const waf_hit *hit, waf_item *item) noexcept nogil:
    """Fills in what a hit means to the selector, if that holds its field."""
    cdef rl_view name = scratch.fields[hit.field].name
    if selector.count or not variable_covers(selector.variable, hit.source, hit.is_name) or not selector_holds(scratch, selector, name):
        return False
    item.variable = selector.variable
    item.name = name
    item.value = hit.text
    return True


cdef bint evaluate_hits(waf_scratch *scratch, const waf_link *link, uint32_t index) noexcept nogil:
    """What scanning has found for the link, in the order in which it would have come upon it: captures and MATCHED_VAR are of the last."""
    cdef bint any = False
    cdef uint32_t i
    cdef uint32_t at
    cdef const waf_hit *hit
    cdef waf_item item
    for i in range(link.selector_count):
        at = scratch.hit_first[index]
        while at:
            hit = &scratch.hits[at - 1]
            at = hit.next
            if not holds_hit(scratch, &link.selectors[i], hit, &item) or item_excluded(scratch, link, index, &item):
                continue
            capture(scratch, link, item.value)
            matched(scratch, link, &item)
            if link.once:
                return True
            any = True
    return any


cdef bint evaluate_link(waf_scratch *scratch, const waf_link *link, uint32_t index) noexcept nogil:
    if link.batched:
        return evaluate_hits(scratch, link, index)
    if link.selector_count == 0:
        act_on_match(scratch, link)
        return True
    return evaluate_items(scratch, link, index)


# ---- one rule

cdef void fired(waf_scratch *scratch, uint32_t index) noexcept nogil:
    cdef const waf_link *link = &scratch.program.links[index]
    cdef waf_fired *entry
    cdef uint32_t count = scratch.out.fired_count
    if link.disruption == WAF_DISRUPT_DENY and not scratch.out.denied:
        if count == WAF_FIRED:
            count -= 1    # what decides must be among those that are told
        scratch.out.deciding = <int>count
        scratch.out.status = link.status
    elif not link.log:
        return
    if count == WAF_FIRED:
        scratch.out.fired_more += 1
        return
    entry = &scratch.out.fired[count]
    scratch.out.fired_count = count + 1
    entry.link = index
    entry.score = scratch.rule_score
    if scratch.matched_count:
        entry.item = scratch.matched[scratch.matched_count - 1]
    else:
        entry.item.name = entry.item.value = NOTHING
        entry.item.variable = WAF_LITERAL


cdef void disrupt(waf_scratch *scratch, const waf_link *link) noexcept nogil:
    if link.disruption == WAF_DISRUPT_NONE:
        return
    if link.disruption == WAF_DISRUPT_DENY:
        scratch.out.denied = 1
    if scratch.engine != WAF_ENGINE_ON:
        return
    if link.disruption == WAF_DISRUPT_ALLOW_PHASE:
        scratch.stop_phase = 1
    else:
        scratch.stop_phase = scratch.stopped = 1
        scratch.allowed |= link.disruption == WAF_DISRUPT_ALLOW


cdef uint32_t run_rule(waf_scratch *scratch, uint32_t first) noexcept nogil:
    """Runs the chain that begins at a link. Returns the index of the link that goes on, or 0: the next."""
    cdef const waf_link *links = scratch.program.links
    cdef uint32_t last = first
    cdef uint32_t index
    scratch.matched_count = 0
    scratch.rule_score = 0
    while True:
        if not evaluate_link(scratch, &links[last], last):
            if scratch.trace:
                watch_broken(scratch, first, last)
            return 0
        if not links[last].chained:
            break
        last += 1
    for index in range(first, last + 1):
        act_on_rule(scratch, &links[index])
    fired(scratch, first)
    if scratch.trace:
        watch_fired(scratch, first)
    disrupt(scratch, &links[first])
    return links[first].skip_to


cdef void run_phase(waf_scratch *scratch, uint32_t phase) noexcept nogil:
    """In order, the first links whose bit is set: those that scanning has hit and those that are evaluated in their turn."""
    cdef const waf_program *program = scratch.program
    cdef uint32_t at = program.phases[phase - 1]
    cdef uint32_t end = program.phases[phase]
    cdef uint32_t next
    cdef uint64_t bits
    scratch.phase = <unsigned char>phase
    scratch.stop_phase = 0
    while at < end and not scratch.stop_phase and scratch.engine != WAF_ENGINE_OFF:
        bits = (program.direct[at >> 6] | scratch.pending[at >> 6]) & ~scratch.removed[at >> 6] & (~<uint64_t>0 << (at & 63))
        next = min((at & ~<uint32_t>63) + lowest_bit(bits) if bits else (at | 63) + 1, end)
        if scratch.trace:
            watch_passed(scratch, at, next)
        at = next
        if bits == 0 or at == end:
            continue
        next = run_rule(scratch, at)
        if scratch.trace and next:
            watch_skipped(scratch, at + 1, next)
        at = next if next else at + 1
