from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ratelimitd._ext.bytes.transform cimport rl_transform_classes
from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.scan.arena cimport arena_free, arena_reset, arena_zeroed
from ratelimitd._ext.scan.database cimport database_acquire, database_fault, database_release
from ratelimitd._ext.scan.fields cimport scan_fields
from ratelimitd._ext.scan.hs cimport HS_FLAG_CASELESS, HS_FLAG_DOTALL, HS_FLAG_SINGLEMATCH, hs_database_size
from ratelimitd._ext.scan.layout cimport (
    SCAN_KINDS, scan_kind, scan_lane, scan_name, scan_node, scan_program, scan_result, scan_rule, scan_scratch, scan_slot, scan_use,
)
from ratelimitd._ext.scan.scratch cimport scratch_destroy, scratch_grow, scratch_make
from ratelimitd._ext.scan.value cimport name_hash

from ratelimitd._ext.scan import blueprint as plan
from ratelimitd._ext.scan.database import PatternError
from ratelimitd.errors import BadPattern, EngineError

cdef enum:
    KEEP_BYTES = 1 << 20      # scan memory that a scratch keeps between requests
    BUDGET_BYTES = 1 << 18    # scan memory of any request ...
    BUDGET_FACTOR = 32        # ... and for each byte of it


def flags_of(rule) -> int:
    return HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | (HS_FLAG_CASELESS if rule.ignore_case else 0)


cdef void *room(scan_program *program, size_t n) except NULL:
    cdef void *memory = arena_zeroed(&program.memory, n if n else 1)
    if memory == NULL:
        raise MemoryError
    return memory


cdef rl_view kept(scan_program *program, bytes text) except *:
    cdef rl_view view
    cdef char *data = <char *>room(program, len(text))
    memcpy(data, <const char *>text, len(text))
    view.data = data
    view.size = <uint32_t>len(text)
    return view


cdef lay_rules(scan_program *program, list rules):
    cdef scan_rule *out = <scan_rule *>room(program, len(rules) * sizeof(scan_rule))
    for i, rule in enumerate(rules):
        out[<uint32_t>i].id = kept(program, rule.id)
        out[<uint32_t>i].score = min(rule.score, 0xffffffff)
        out[<uint32_t>i].deny = rule.deny
    program.rules = out
    program.rule_count = <uint32_t>len(rules)


cdef lay_nodes(scan_program *program, list nodes):
    cdef scan_node *out = <scan_node *>room(program, len(nodes) * sizeof(scan_node))
    cdef uint32_t i
    for i in reversed(range(len(nodes))):
        node = nodes[i]
        out[i].kind = max(node.kind, 0)
        out[i].depth = node.depth
        out[i].end = node.end
        out[i].chain = node.chain
        out[i].chains = node.chains
        out[i].classes = rl_transform_classes(node.kind) if i else 0
        out[i].classes_below = out[i].classes
        for j in range(i + 1, node.end):
            out[i].classes_below |= out[<uint32_t>j].classes
        program.most_depth = max(program.most_depth, out[i].depth)
    program.nodes = out
    program.node_count = <uint32_t>len(nodes)


cdef lay_lane(scan_program *program, scan_lane *out, list expressions, dict uses, object cache_dir, list rules):
    cdef uint32_t total = sum(len(uses[e]) for e in expressions)
    cdef uint32_t at = 0
    cdef uint32_t *first = <uint32_t *>room(program, (len(expressions) + 1) * sizeof(uint32_t))
    cdef scan_use *use = <scan_use *>room(program, total * sizeof(scan_use))
    for i, expression in enumerate(expressions):
        first[<uint32_t>i] = at
        for rule, chain in uses[expression]:
            use[at].rule = rule
            use[at].chain = chain
            at += 1
    first[<uint32_t>len(expressions)] = at
    out.first_use = first
    out.uses = use
    out.expressions = <uint32_t>len(expressions)
    try:
        out.shared = database_acquire([(*expression, i) for i, expression in enumerate(expressions)], cache_dir)
        out.database = out.shared.database
    except PatternError as error:
        if error.index < 0:
            raise EngineError(f"rules: {error}") from None
        expression = expressions[error.index]
        rule = rules[uses[expression][0][0]]
        message = f"rule {plan.text(rule.id)}: {error} (pattern {plan.text(expression[0])})"
        raise EngineError(message, bad_patterns(uses, rules)) from None


cdef list bad_patterns(dict uses, list rules):
    """Every expression that does not compile on its own, for each rule that has it."""
    found = []
    for expression, users in uses.items():
        fault = database_fault(expression)
        if fault is not None:
            found += [BadPattern(expression[0], fault, rules[index].id) for index in sorted({rule for rule, _ in users})]
    return found


cdef lay_kind(scan_program *program, scan_kind *out, list slots, list chains):
    cdef scan_slot *made = <scan_slot *>room(program, len(slots) * sizeof(scan_slot))
    cdef scan_name *names
    cdef uint64_t *rules
    cdef uint32_t i
    cdef uint32_t at
    cdef uint32_t size = 2
    while size < 2 * len(slots):
        size *= 2
    names = <scan_name *>room(program, size * sizeof(scan_name))
    for i in range(len(slots)):
        slot = slots[i]
        rules = <uint64_t *>room(program, (program.rule_count + 63) // 64 * sizeof(uint64_t))
        for rule in slot.rules:
            rules[<uint32_t>rule >> 6] |= <uint64_t>1 << (<uint32_t>rule & 63)
        made[i].rules = rules
        made[i].lane = slot.lane
        made[i].chains = slot.chains
        for chain, kinds in enumerate(chains):
            if slot.chains >> chain & 1:
                for kind in kinds:
                    made[i].classes |= rl_transform_classes(kind)
        if slot.lane >= 0:
            out.wanted = 1
        if i == 0:
            continue
        name = kept(program, slot.name)
        at = name_hash(name) & (size - 1)
        while names[at].slot:
            at = (at + 1) & (size - 1)
        names[at].name = name
        names[at].slot = i
    out.slots = made
    out.names = names
    out.name_mask = size - 1
    out.name_count = <uint32_t>len(slots) - 1


cdef scan_program *program_build(object rules, object cache_dir) except NULL:
    cdef scan_program *program
    cdef uint32_t i
    cdef size_t size
    blueprint = plan.draw(rules, flags_of)
    program = <scan_program *>calloc(1, sizeof(scan_program))
    if program == NULL:
        raise MemoryError
    arena_reset(&program.memory, <size_t>1 << 40, 0)
    try:
        lay_rules(program, blueprint.rules)
        lay_nodes(program, blueprint.nodes)
        program.lanes = <scan_lane *>room(program, len(blueprint.lanes) * sizeof(scan_lane))
        sizes = []
        for i in range(len(blueprint.lanes)):
            expressions = blueprint.lanes[i]
            program.lane_count = i + 1
            lay_lane(program, &program.lanes[i], expressions, blueprint.uses, cache_dir, blueprint.rules)
            program.most_expressions = max(program.most_expressions, program.lanes[i].expressions)
            size = 0
            hs_database_size(program.lanes[i].database, &size)
            sizes.append(size)
        for i in range(SCAN_KINDS):
            lay_kind(program, &program.kinds[i], blueprint.kinds[i], blueprint.chains)
        program.dump = kept(program, plan.describe(blueprint, sizes).encode())
        return program
    except BaseException:
        program_free(program)
        raise


cdef void program_free(scan_program *program) noexcept nogil:
    cdef uint32_t i
    if program == NULL:
        return
    for i in range(program.lane_count):
        database_release(program.lanes[i].shared)
    arena_free(&program.memory)
    free(program)


cdef uint32_t program_databases(const scan_program *program) noexcept nogil:
    return program.lane_count


cdef object program_dump(const scan_program *program):
    return program.dump.data[:program.dump.size].decode()


cdef scan_scratch *scratch_new() noexcept nogil:
    return scratch_make()


cdef int scratch_prepare(scan_scratch *scratch, const scan_program *program) noexcept nogil:
    return scratch_grow(scratch, program)


cdef void scratch_free(scan_scratch *scratch) noexcept nogil:
    scratch_destroy(scratch)


cdef size_t request_bytes(const rl_request *request, uint32_t body_limit) noexcept nogil:
    cdef size_t size = request.path.size + request.host.size + request.method.size
    cdef uint32_t i
    for i in range(request.header_count):
        size += request.headers[i].name.size + request.headers[i].value.size
    return size + (request.body.size if request.body.size < body_limit else body_limit)


cdef void program_scan(const scan_program *program, scan_scratch *scratch, const rl_request *request, uint32_t body_limit, scan_result *out) noexcept nogil:
    out.score = 0
    out.match_count = 0
    out.deny_match = -1
    out.bytes_inspected = 0
    out.inspected_all = 1
    out.error = 0
    if program.lane_count == 0:
        return
    arena_reset(&scratch.memory, BUDGET_BYTES + BUDGET_FACTOR * request_bytes(request, body_limit), KEEP_BYTES)
    memset(scratch.fired, 0, (program.rule_count + 63) // 64 * sizeof(uint64_t))
    scratch.round += 1
    if scratch.round == 0:   # after 2**32 scans an old entry could pass for a new one
        memset(scratch.seen, 0, sizeof(scratch.seen))
        scratch.round = 1
    scratch.program = program
    scratch.out = out
    scan_fields(scratch, request, body_limit)
