from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_free, arena_reset
from ratelimitd._ext.scan.database cimport database_release
from ratelimitd._ext.scan.shared cimport shared_item
from ratelimitd._ext.waf.builder cimport Builder, bit_set, kept, name_table, plan_text, room
from ratelimitd._ext.waf.constants cimport WAF_IP, WAF_SOURCES
from ratelimitd._ext.waf.groups cimport put_group
from ratelimitd._ext.waf.layout cimport WAF_COLLECTIONS, waf_group, waf_link, waf_program, waf_value
from ratelimitd._ext.waf.links cimport put_link
from ratelimitd._ext.waf.places cimport places_close, places_open
from ratelimitd._ext.waf.regexes cimport regex_release
from ratelimitd._ext.waf.slots cimport put_nodes, put_source
from ratelimitd._ext.waf.store cimport number_of

from ratelimitd._ext.waf import blueprint as plan
from ratelimitd._ext.waf.regexes import regex_fault
from ratelimitd.errors import BadPattern, EngineError
from ratelimitd.waf.program import GEO_NAMES, REGEXES


cdef void put_response(Builder builder, ir) except *:
    cdef rl_view *types = <rl_view *>room(builder.program, len(ir.response_types) * sizeof(rl_view))
    for i, kind in enumerate(ir.response_types):
        types[<uint32_t>i] = kept(builder.program, kind)
    builder.program.response_types = types
    builder.program.response_type_count = <uint32_t>len(ir.response_types)
    builder.program.response_access = ir.response_access
    builder.program.response_limit = ir.response_limit
    builder.program.response_reject = ir.response_reject


cdef void put_collections(Builder builder, ir) except *:
    """Names of a collection stand together, in the order of the alphabet."""
    cdef uint32_t i
    for i in range(WAF_COLLECTIONS):
        names = [n for n, name in enumerate(builder.blueprint.store) if name.startswith(plan.store_name(WAF_IP + i, b""))]
        builder.program.collection_slots[i].first = names[0] if names else 0
        builder.program.collection_slots[i].end = names[len(names) - 1] + 1 if names else 0
    builder.program.collection_timeout = min(ir.collection_timeout, 0xffffffff)
    builder.program.application = kept(builder.program, ir.application)


cdef void put_places(Builder builder, places) except *:
    builder.program.places = places_open(places.path, places.origin)
    for i, name in enumerate(GEO_NAMES):
        builder.program.place_slots[<uint32_t>i] = builder.slot_of[b"geo." + name]


cdef void put_store(Builder builder, initial) except *:
    names = builder.blueprint.store
    program = builder.program
    cdef uint32_t i
    cdef rl_view *views = <rl_view *>room(program, len(names) * sizeof(rl_view))
    cdef waf_value *values = <waf_value *>room(program, len(names) * sizeof(waf_value))
    program.store_index = name_table(program, names, &program.store_mask)
    for i in range(len(names)):
        views[i] = kept(program, names[i])
    for name, value in initial:
        i = builder.slot_of[b"tx." + name]
        values[i].text = kept(program, value)
        values[i].number = number_of(values[i].text)
        values[i].set = values[i].has_text = values[i].has_number = 1
    program.store_names = views
    program.store_count = <uint32_t>len(names)
    program.initial = values


def bad_patterns(ir) -> list:
    """Every pattern of a program that does not compile, each of its own where a rule has several."""
    return [
        BadPattern(pattern, fault, link.name or b"%d" % link.rule, place=link.origin)
        for link in ir.links if link.operator in REGEXES and plan.constant(link.argument)
        for pattern in link.phrases or (b"".join(link.argument),)
        if (fault := regex_fault(pattern, link.ignore_case))
    ]


cdef void put_settings(Builder builder, ir) except *:
    program = builder.program
    program.engine = int(ir.engine)
    program.body_access = ir.body_access
    program.every_reading = ir.every_reading
    program.json_depth = ir.json_depth
    program.arguments_max = ir.arguments_max
    program.score_slot = builder.slot_of[b"tx." + ir.score] if ir.score else -1
    program.response_score_slot = builder.slot_of[b"tx." + ir.response_score] if ir.response_score else -1
    program.blocklist_key = kept(program, ir.blocklist_key)


cdef void put_links(Builder builder, ir) except *:
    cdef waf_program *program = builder.program
    cdef waf_link *links = <waf_link *>room(program, len(ir.links) * sizeof(waf_link))
    cdef uint32_t i
    cdef uint32_t phase
    cdef bint first = True
    program.link_count = <uint32_t>len(ir.links)
    program.links = links
    program.batch_count = <uint32_t>len(builder.blueprint.batched)
    program.regexes = <shared_item **>room(program, (4 * len(ir.links) + 64) * sizeof(void *))
    answers = plan.of_responses(ir)
    scores = {b"tx." + name for name in ir.scores}
    in_turn = []
    batched = {index: i for i, index in enumerate(builder.blueprint.batched)}
    for i, link in enumerate(ir.links):
        if i in batched:
            links[i].batched = 1
            links[i].batch = batched[i]
        put_link(builder, &links[i], link, i in answers, first, scores)
        if first and i not in batched:
            in_turn.append(i)
        first = not link.chained
    program.direct = bit_set(program, in_turn, program.link_count)
    for phase in range(6):
        program.phases[phase] = sum(1 for link in ir.links if link.phase <= phase)


cdef void put_scanned(Builder builder, ir) except *:
    cdef waf_program *program = builder.program
    cdef uint32_t i
    groups = builder.blueprint.groups
    put_nodes(builder)
    program.groups = <waf_group *>room(program, len(groups) * sizeof(waf_group))
    for i, group in enumerate(groups):
        program.group_count = i + 1
        put_group(builder, &program.groups[i], group)
    read = plan.read(ir)
    for i in range(WAF_SOURCES):
        program.sources[i].read = i in read
        put_source(builder, &program.sources[i], i)


cdef waf_program *waf_build(object ir, object cache_dir, bint direct=False) except NULL:
    cdef waf_program *program = <waf_program *>calloc(1, sizeof(waf_program))
    cdef Builder builder = None
    if program == NULL:
        raise MemoryError
    arena_reset(&program.memory, <size_t>1 << 40, 0, 0)
    try:
        blueprint = plan.draw(ir, batch=not direct)
        builder = Builder(blueprint, cache_dir)
        builder.program = program
        program.name_count = <uint32_t>len(blueprint.names)
        program.names = name_table(program, blueprint.names, &program.name_mask)
        put_store(builder, ir.initial)
        put_settings(builder, ir)
        put_response(builder, ir)
        put_collections(builder, ir)
        if ir.places:
            put_places(builder, ir.places)
        put_links(builder, ir)
        put_scanned(builder, ir)
        return program
    except BaseException as error:
        waf_free(program)
        if isinstance(error, EngineError):
            found = bad_patterns(ir)
            whose = f"rule {plan_text(found[0].rule)}: {found[0].message}" if found else str(error)
            raise EngineError(whose, found) from None
        raise
    finally:
        for address in builder.held if builder is not None else ():
            database_release(<shared_item *><size_t>address)


cdef void waf_free(waf_program *program) noexcept nogil:
    cdef uint32_t group
    cdef uint32_t step
    cdef uint32_t lane
    cdef uint32_t i
    if program == NULL:
        return
    for group in range(program.group_count):
        for step in range(program.groups[group].step_count):
            for lane in range(program.groups[group].steps[step].lane_count):
                database_release(program.groups[group].steps[step].lanes[lane].shared)
    for i in range(program.link_count if program.links != NULL else 0):
        database_release(program.links[i].phrases)
    for i in range(program.regex_count):
        regex_release(program.regexes[i])
    places_close(program.places)
    arena_free(&program.memory)
    free(program)


cdef uint32_t waf_databases(const waf_program *program) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t group
    cdef uint32_t step
    for group in range(program.group_count):
        for step in range(program.groups[group].step_count):
            count += program.groups[group].steps[step].lane_count
    return count
