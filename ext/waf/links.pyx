from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.bytes.operators cimport rl_byte_set, rl_byte_set_parse, rl_ip_range, rl_ip_range_next
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.database cimport database_acquire
from ratelimitd._ext.waf.builder cimport Builder, bit_set, kept, plan_text, room
from ratelimitd._ext.waf.layout cimport waf_ctl, waf_link, waf_networks, waf_program, waf_selector, waf_set
from ratelimitd._ext.waf.operate cimport injection_open

from ratelimitd._ext.waf import blueprint as plan
from ratelimitd.errors import EngineError
from ratelimitd.waf.databases import phrase_rows
from ratelimitd.waf.program import REGEXES, Operator
from ratelimitd.waf.regex.nodes import ALL


cdef const waf_networks *networks_of(waf_program *program, bytes argument, str origin) except NULL:
    cdef waf_networks *made = <waf_networks *>room(program, sizeof(waf_networks))
    cdef rl_view text = rl_view(<const char *>argument, <uint32_t>len(argument))
    cdef rl_ip_range *ranges = <rl_ip_range *>room(program, (len(argument) // 2 + 1) * sizeof(rl_ip_range))
    cdef uint32_t cursor = 0
    cdef int found
    made.ranges = ranges
    while True:
        found = rl_ip_range_next(text, &cursor, &ranges[made.count])
        if found < 0:
            raise EngineError(f"{origin}: not an address or a network, before byte {cursor} of {plan_text(argument)}")
        if found == 0:
            return made
        made.count += 1


cdef const rl_byte_set *byte_set_of(waf_program *program, bytes argument) except NULL:
    cdef rl_byte_set *made = <rl_byte_set *>room(program, sizeof(rl_byte_set))
    rl_byte_set_parse(rl_view(<const char *>argument, <uint32_t>len(argument)), made)
    return made


cdef void put_selectors(Builder builder, waf_link *out, link) except *:
    cdef waf_selector *made = <waf_selector *>room(builder.program, len(link.selectors) * sizeof(waf_selector))
    cdef uint32_t at = 0
    for exclude in (False, True):
        for selector in link.selectors:
            if selector.exclude == exclude:
                builder.selector(&made[at], selector, link.origin)
                at += 1
        if not exclude:
            out.selector_count = at
    out.selectors = made
    out.excludes = made + out.selector_count
    out.exclude_count = at - out.selector_count


cdef void put_sets(Builder builder, waf_link *out, link, set scores) except *:
    cdef waf_set *made = <waf_set *>room(builder.program, len(link.sets) * sizeof(waf_set))
    for i, change in enumerate(link.sets):
        name = plan.set_name(change)
        made[<uint32_t>i].variable = int(change.collection)
        made[<uint32_t>i].change = int(change.change)
        made[<uint32_t>i].score = name in scores
        made[<uint32_t>i].slot = builder.slot_of[name] if name else -1
        prefix = plan.store_name(change.collection, b"")
        builder.text(&made[<uint32_t>i].name, (prefix, *change.name))
        builder.text(&made[<uint32_t>i].value, change.value)
    out.sets = made
    out.set_count = <uint32_t>len(link.sets)


cdef void put_ctls(Builder builder, waf_link *out, link) except *:
    cdef waf_ctl *made = <waf_ctl *>room(builder.program, len(link.ctls) * sizeof(waf_ctl))
    for i, ctl in enumerate(link.ctls):
        made[<uint32_t>i].control = int(ctl.control)
        made[<uint32_t>i].value = ctl.value
        made[<uint32_t>i].rules = bit_set(builder.program, whole_rules(builder, ctl.rules), builder.program.link_count)
        if ctl.selector is not None:
            builder.selector(&made[<uint32_t>i].selector, ctl.selector, link.origin)
    out.ctls = made
    out.ctl_count = <uint32_t>len(link.ctls)


def whole_rules(Builder builder, rules):
    """Every link of the chains that begin at these."""
    links = builder.blueprint.links
    for index in rules:
        yield index
        while links[index].chained:
            index += 1
            yield index


cdef void put_operand(Builder builder, waf_link *out, link) except *:
    cdef uint8_t *table
    argument = b"".join(link.argument) if plan.constant(link.argument) else None
    builder.text(&out.argument, link.argument)
    if link.operator in REGEXES and (link.capture or not out.batched):
        out.regex = builder.regex(argument, link.ignore_case, link.origin)
    elif link.operator == Operator.PHRASES:
        if not out.batched and link.phrases:
            rows = phrase_rows([plan.expression_of(link)], ALL)
            out.phrases = database_acquire([(row.pattern, row.flags, 0) for row in rows], builder.cache_dir)
    elif link.operator == Operator.VALIDATE_BYTE_RANGE:
        out.bytes = byte_set_of(builder.program, argument)
    elif link.operator == Operator.IP_MATCH:
        out.networks = networks_of(builder.program, argument, link.origin)
    elif link.operator in (Operator.DETECT_SQLI, Operator.DETECT_XSS):
        injection_open()


cdef void put_link(Builder builder, waf_link *out, link, bint of_response, bint first, set scores) except *:
    cdef uint8_t *steps = <uint8_t *>room(builder.program, len(link.transformations))
    out.rule = link.rule
    out.phase = link.phase
    out.op = int(link.operator)
    out.negated = link.negated
    out.multi_match = link.multi_match
    out.capture = link.capture
    out.chained = link.chained
    out.first = first
    out.of_response = of_response
    out.disruption = int(link.disruption)
    out.log = link.log
    out.severity = link.severity
    out.status = link.status
    out.skip_to = max(link.skip_to, 0)
    out.once = link.once
    out.id = kept(builder.program, link.name or b"%d" % link.rule)
    for i, kind in enumerate(link.transformations):
        steps[<uint32_t>i] = int(kind)
    out.steps = steps
    out.step_count = <uint32_t>len(link.transformations)
    put_operand(builder, out, link)
    put_selectors(builder, out, link)
    put_sets(builder, out, link, scores)
    put_ctls(builder, out, link)
