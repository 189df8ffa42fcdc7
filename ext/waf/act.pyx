from libc.stdint cimport int64_t, uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.collection cimport collection_bind, collection_bound, collection_change, collection_look
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.layout cimport WAF_REMOVALS, waf_ctl, waf_link, waf_scratch, waf_set, waf_value
from ratelimitd._ext.waf.store cimport number_of, number_sum, store_at, value_number, value_set_number, value_set_text, value_unset
from ratelimitd._ext.waf.text cimport text_fill

cdef rl_view NOTHING = rl_view("", 0)


cdef void set_variable(waf_scratch *scratch, const waf_link *link, const waf_set *change) noexcept nogil:
    cdef rl_view name
    cdef rl_view text
    if change.variable != WAF_TX:
        if change.change == WAF_CHANGE_BIND:
            collection_bind(scratch, change.variable, text_fill(scratch, &change.value, False))
            return
        if collection_bound(scratch, change.variable) and not scratch.moment.dry_run:
            name = scratch.program.store_names[change.slot] if change.slot >= 0 else text_fill(scratch, &change.name, True)
            collection_change(scratch, link, change, name, text_fill(scratch, &change.value, False))
            return
        collection_look(scratch, change.variable)
    name = NOTHING if change.slot >= 0 else text_fill(scratch, &change.name, True)
    text = text_fill(scratch, &change.value, False)
    change_store(scratch, change, name, text)


cdef void change_store(waf_scratch *scratch, const waf_set *change, rl_view name, rl_view text) noexcept nogil:
    """A variable that ends with the transaction. Nothing expires before that."""
    cdef int64_t number
    cdef waf_value *value
    if change.change == WAF_CHANGE_EXPIRE or change.change == WAF_CHANGE_DEPRECATE:
        return
    value = store_at(scratch, change.slot, name, change.change != WAF_CHANGE_UNSET)
    if value == NULL:
        return
    if change.change == WAF_CHANGE_UNSET:
        value_unset(value)
        return
    if change.change == WAF_CHANGE_SET:
        value_set_text(value, text)
        return
    number = number_of(text)
    if change.change == WAF_CHANGE_SUBTRACT:
        number = -number
    if change.score and number > 0:
        scratch.rule_score += <uint32_t>number
    value_set_number(value, number_sum(value_number(value), number))


cdef void act_on_match(waf_scratch *scratch, const waf_link *link) noexcept nogil:
    cdef uint32_t i
    for i in range(link.set_count):
        set_variable(scratch, link, &link.sets[i])


cdef void remove_rules(waf_scratch *scratch, const waf_ctl *ctl) noexcept nogil:
    cdef uint32_t word
    for word in range((scratch.program.link_count + 63) // 64):
        scratch.removed[word] |= ctl.rules[word]


cdef void remove_targets(waf_scratch *scratch, const waf_ctl *ctl) noexcept nogil:
    if scratch.removal_count == WAF_REMOVALS:
        scratch.out.error = 1
        return
    scratch.removals[scratch.removal_count].rules = ctl.rules
    scratch.removals[scratch.removal_count].selector = &ctl.selector
    scratch.removal_count += 1


cdef void act_on_rule(waf_scratch *scratch, const waf_link *link) noexcept nogil:
    cdef uint32_t i
    cdef const waf_ctl *ctl
    for i in range(link.ctl_count):
        ctl = &link.ctls[i]
        if ctl.control == WAF_CTL_REMOVE_RULES:
            remove_rules(scratch, ctl)
        elif ctl.control == WAF_CTL_REMOVE_TARGETS:
            remove_targets(scratch, ctl)
        elif ctl.control == WAF_CTL_ENGINE:
            scratch.engine = <uint8_t>ctl.value
        elif ctl.control == WAF_CTL_BODY_PROCESSOR:
            scratch.processor = <uint8_t>ctl.value
        elif ctl.control == WAF_CTL_FORCE_BODY:
            scratch.force_body = <uint8_t>ctl.value
        elif ctl.control == WAF_CTL_BODY_ACCESS:
            scratch.body_access = <uint8_t>ctl.value
