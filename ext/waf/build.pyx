from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from ratelimitd._ext.bytes.operators cimport rl_byte_set, rl_byte_set_parse, rl_ip_range, rl_ip_range_next
from ratelimitd._ext.bytes.transform cimport rl_transform_classes
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_free, arena_reset, arena_zeroed
from ratelimitd._ext.scan.database cimport database_acquire, database_fault, database_release, shared_database
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_alloc_scratch, hs_free_scratch, hs_scan, hs_scratch_t
from ratelimitd._ext.waf.constants cimport WAF_IP, WAF_SOURCES
from ratelimitd._ext.waf.layout cimport (
    WAF_COLLECTIONS, WAF_LITERAL, waf_ctl, waf_group, waf_lane, waf_link, waf_name, waf_networks, waf_node, waf_part, waf_program, waf_row, waf_selector, waf_set, waf_slot,
    waf_source, waf_step,
    waf_text, waf_use, waf_value,
)
from ratelimitd._ext.bytes.pcre cimport (
    RL_PCRE_GROUPS, rl_pcre, rl_pcre_match, rl_pcre_scratch, rl_pcre_scratch_free, rl_pcre_scratch_new, rl_span,
)
from ratelimitd._ext.waf.operate cimport injection_open
from ratelimitd._ext.waf.places cimport places_close, places_open
from ratelimitd._ext.waf.regexes cimport regex_acquire, regex_release, shared_regex
from ratelimitd._ext.waf.store cimport number_of

import os

from ratelimitd._ext.scan.database import PatternError
from ratelimitd._ext.waf import blueprint as plan
from ratelimitd._ext.waf.regexes import regex_fault
from ratelimitd.errors import BadPattern, EngineError
from ratelimitd.waf import databases
from ratelimitd.waf.databases import FLAGS, phrase_rows
from ratelimitd.waf.program import GEO_NAMES, Operator
from ratelimitd.waf.regex.nodes import ALL

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)

REGEXES = frozenset({
    Operator.RX, Operator.RX_GLOBAL, Operator.VERIFY_CC, Operator.VERIFY_CPF, Operator.VERIFY_SSN, Operator.VERIFY_SVNR,
})


# ---- memory

cdef void *room(waf_program *program, size_t n) except NULL:
    cdef void *memory = arena_zeroed(&program.memory, n if n else 1)
    if memory == NULL:
        raise MemoryError
    return memory


cdef rl_view kept(waf_program *program, bytes text) except *:
    cdef rl_view view
    cdef char *data = <char *>room(program, len(text) + 1)
    memcpy(data, <const char *>text, len(text))
    view.data = data
    view.size = <uint32_t>len(text)
    return view


cdef const uint64_t *bit_set(waf_program *program, indices, uint32_t size) except NULL:
    cdef uint64_t *words = <uint64_t *>room(program, (size + 63) // 64 * 8 + 8)
    cdef uint32_t index
    for index in indices:
        words[index >> 6] |= <uint64_t>1 << (index & 63)
    return words


cdef const waf_name *name_table(waf_program *program, list names, uint32_t *mask) except NULL:
    """An open-addressing table: the id of a name is its index + 1."""
    cdef uint32_t size = 2
    cdef uint32_t at
    while size < 2 * len(names):
        size *= 2
    cdef waf_name *table = <waf_name *>room(program, size * sizeof(waf_name))
    for i, name in enumerate(names):
        view = kept(program, name)
        at = <uint32_t>rl_hash(view) & (size - 1)
        while table[at].id:
            at = (at + 1) & (size - 1)
        table[at].name = view
        table[at].id = i + 1
    mask[0] = size - 1
    return table


# ---- one link

cdef class Builder:
    """What is needed while a program is being laid out."""

    cdef waf_program *program
    cdef object blueprint
    cdef object cache_dir
    cdef dict tables           # set of bytes -> its table
    cdef list held             # addresses of databases that are wanted soon
    cdef dict slot_of          # store name -> slot
    cdef dict id_of            # spelt out name -> number
    cdef dict regexes          # (pattern, ignore_case) -> index
    cdef list patterns         # the same, in order

    cdef const rl_pcre *regex(self, bytes pattern, bint ignore_case, str origin) except NULL:
        cdef uint32_t index = self.program.regex_count
        key = (pattern, ignore_case)
        if key in self.regexes:
            index = self.regexes[key]
            return self.program.regexes[index].regex
        self.program.regexes[index] = regex_acquire(pattern, ignore_case, origin)
        self.program.regex_count += 1
        self.regexes[key] = index
        return self.program.regexes[index].regex

    cdef void text(self, waf_text *out, tuple text) except *:
        cdef waf_part *parts = <waf_part *>room(self.program, len(text) * sizeof(waf_part))
        for i, part in enumerate(text):
            if isinstance(part, bytes):
                parts[<uint32_t>i].variable = WAF_LITERAL
                parts[<uint32_t>i].name = kept(self.program, part)
                continue
            self.reference(&parts[<uint32_t>i], part)
        out.parts = parts
        out.count = <uint32_t>len(text)
        if out.count > 16:
            raise EngineError("a text with more than 16 parts")

    cdef void reference(self, waf_part *out, reference) except *:
        name = reference.name
        out.slot = -1
        if plan.is_store(reference.variable) and name:
            name = plan.store_name(reference.variable, name)
            out.slot = self.slot_of[name]
        out.variable = int(reference.variable)
        out.name_id = self.id_of.get(name, 0)
        out.name = kept(self.program, name)

    cdef void selector(self, waf_selector *out, selector, str origin) except *:
        name = selector.name
        out.slot = -1
        if plan.is_store(selector.variable) and name and not selector.exclude:
            name = plan.store_name(selector.variable, name)
            out.slot = self.slot_of[name]
        out.variable = int(selector.variable)
        out.count = selector.count
        out.name_id = self.id_of.get(name, 0) if plan.sources_of(selector.variable)[0] else 0
        out.name = kept(self.program, name)
        if selector.regex:
            out.regex = self.regex(selector.regex, True, origin)

    cdef void selectors(self, waf_link *out, link) except *:
        cdef waf_selector *made = <waf_selector *>room(self.program, len(link.selectors) * sizeof(waf_selector))
        cdef uint32_t at = 0
        for exclude in (False, True):
            for selector in link.selectors:
                if selector.exclude == exclude:
                    self.selector(&made[at], selector, link.origin)
                    at += 1
            if not exclude:
                out.selector_count = at
        out.selectors = made
        out.excludes = made + out.selector_count
        out.exclude_count = at - out.selector_count

    cdef void sets(self, waf_link *out, link, set scores) except *:
        cdef waf_set *made = <waf_set *>room(self.program, len(link.sets) * sizeof(waf_set))
        for i, change in enumerate(link.sets):
            name = plan.set_name(change)
            made[<uint32_t>i].variable = int(change.collection)
            made[<uint32_t>i].change = int(change.change)
            made[<uint32_t>i].score = name in scores
            made[<uint32_t>i].slot = self.slot_of[name] if name else -1
            prefix = plan.store_name(change.collection, b"")
            self.text(&made[<uint32_t>i].name, (prefix, *change.name))
            self.text(&made[<uint32_t>i].value, change.value)
        out.sets = made
        out.set_count = <uint32_t>len(link.sets)

    cdef void ctls(self, waf_link *out, link) except *:
        cdef waf_ctl *made = <waf_ctl *>room(self.program, len(link.ctls) * sizeof(waf_ctl))
        for i, ctl in enumerate(link.ctls):
            made[<uint32_t>i].control = int(ctl.control)
            made[<uint32_t>i].value = ctl.value
            made[<uint32_t>i].rules = bit_set(self.program, self.whole_rules(ctl.rules), self.program.link_count)
            if ctl.selector is not None:
                self.selector(&made[<uint32_t>i].selector, ctl.selector, link.origin)
        out.ctls = made
        out.ctl_count = <uint32_t>len(link.ctls)

    def whole_rules(self, rules):
        """Every link of the chains that begin at these."""
        links = self.blueprint.links
        for index in rules:
            yield index
            while links[index].chained:
                index += 1
                yield index

    cdef void operand(self, waf_link *out, link) except *:
        cdef uint8_t *table
        argument = b"".join(link.argument) if plan.constant(link.argument) else None
        self.text(&out.argument, link.argument)
        if link.operator in REGEXES and (link.capture or not out.batched):
            out.regex = self.regex(argument, link.ignore_case, link.origin)
        elif link.operator == Operator.PHRASES:
            if not out.batched and link.phrases:
                rows = phrase_rows([plan.expression_of(link)], ALL)
                out.phrases = database_acquire([(row.pattern, row.flags, 0) for row in rows], self.cache_dir)
        elif link.operator == Operator.VALIDATE_BYTE_RANGE:
            out.bytes = byte_set_of(self.program, argument)
        elif link.operator == Operator.IP_MATCH:
            out.networks = networks_of(self.program, argument, link.origin)
        elif link.operator in (Operator.DETECT_SQLI, Operator.DETECT_XSS):
            injection_open()

    cdef void link(self, waf_link *out, link, bint of_response, bint first, set scores) except *:
        cdef uint8_t *steps = <uint8_t *>room(self.program, len(link.transformations))
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
        out.id = kept(self.program, link.name or b"%d" % link.rule)
        for i, kind in enumerate(link.transformations):
            steps[<uint32_t>i] = int(kind)
        out.steps = steps
        out.step_count = <uint32_t>len(link.transformations)
        self.operand(out, link)
        self.selectors(out, link)
        self.sets(out, link, scores)
        self.ctls(out, link)

    # ---- what is scanned

    cdef void nodes(self) except *:
        nodes = self.blueprint.nodes
        cdef waf_node *out = <waf_node *>room(self.program, len(nodes) * sizeof(waf_node))
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
            self.program.most_depth = max(self.program.most_depth, out[i].depth)
        self.program.nodes = out
        self.program.node_count = <uint32_t>len(nodes)

    cdef void group(self, waf_group *out, group, object cache_dir) except *:
        blueprint = self.blueprint
        keys = group.expressions
        injections = [(Operator.DETECT_SQLI, len(keys)), (Operator.DETECT_XSS, len(keys) + 1)]
        number = {key: i for i, key in enumerate(keys)}
        uses = [[] for _ in range(len(keys) + 2)]
        for index in sorted(group.links):
            key = blueprint.key_of.get(index)
            at = number[key] if key is not None else dict(injections)[blueprint.links[index].operator]
            uses[at] += [(index, chain) for chain in blueprint.chains_of[index]]
        out.expressions = <uint32_t>len(uses)
        self.program.most_expressions = max(self.program.most_expressions, out.expressions)
        self.uses(out, uses)
        out.confirm = <const rl_pcre **>room(self.program, len(uses) * sizeof(void *))
        drawn = self.drawn(keys)
        for i in {row.expression for _, found in drawn.steps for database in found for row in database.rows if not row.exact} | set(drawn.ungated):
            out.confirm[<uint32_t>i] = self.regex(keys[i].regex, keys[i].ignore_case, "")
        if drawn.ungated:
            out.ungated = bit_set(self.program, drawn.ungated, out.expressions)
        self.steps(out, drawn)
        out.empty = self.empty(out)

    def drawn(self, keys):
        """The plan whose databases compile, from disk if it is there. Nearly always everything fits, so that is tried first."""
        path = databases.plan_path(keys, os.fspath(self.cache_dir)) if self.cache_dir else None
        known = databases.read(path) if path else None
        if known:
            return known
        made = databases.draw(keys, lambda pattern: True)
        if not self.compiles(made):
            made = databases.draw(keys, fits)
        if path:
            databases.write(path, made)
        return made

    def compiles(self, drawn) -> bool:
        """Keeps the databases until the program has them."""
        try:
            for _, found in drawn.steps:
                for database in found:
                    self.held.append(<size_t>database_acquire(rows_of(database), self.cache_dir))
        except PatternError:
            return False
        return True

    cdef void steps(self, waf_group *out, drawn) except *:
        """The databases, and the table that says which of them a string needs."""
        cdef waf_step *steps = <waf_step *>room(self.program, len(drawn.steps) * sizeof(waf_step))
        cdef uint32_t i
        cdef uint32_t j
        cdef uint32_t bit
        needs = sorted({d.needs for _, found in drawn.steps for d in found if d.needs})
        if len(drawn.steps) + len(needs) > 16:
            raise EngineError(f"{len(drawn.steps)} alphabets and {len(needs)} needs of databases; 16 fit")
        sets = [~alphabet for alphabet, _ in drawn.steps] + needs
        for i in range(256):
            for bit, members in enumerate(sets):
                out.table[i] |= (members >> i & 1) << bit
        tables = {}
        out.steps = steps
        for i, (_, found) in enumerate(drawn.steps):
            steps[i].outside = <uint32_t>1 << i
            steps[i].lanes = <waf_lane *>room(self.program, len(found) * sizeof(waf_lane))
            out.step_count = i + 1
            for j, database in enumerate(found):
                steps[i].lane_count = j + 1
                self.lane(&steps[i].lanes[j], database)
                if database.needs:
                    steps[i].lanes[j].needs = <uint32_t>1 << <int>(len(drawn.steps) + needs.index(database.needs))
                if database.erased:
                    steps[i].lanes[j].erased = self.byte_table(database.erased)

    cdef const uint8_t *byte_table(self, members) except NULL:
        """By byte: is it a member? The same table for the same set, so that a string is erased once."""
        cdef uint8_t *table
        cdef uint32_t i
        if members not in self.tables:
            table = <uint8_t *>room(self.program, 256)
            for i in range(256):
                table[i] = members >> i & 1
            self.tables[members] = <size_t>table
        return <const uint8_t *><size_t>self.tables[members]

    cdef void lane(self, waf_lane *out, database) except *:
        cdef waf_row *rows = <waf_row *>room(self.program, len(database.rows) * sizeof(waf_row))
        cdef uint32_t i
        for i, row in enumerate(database.rows):
            rows[i].expression = row.expression
            rows[i].exact = row.exact
        out.rows = rows
        try:
            out.shared = database_acquire(rows_of(database), self.cache_dir)
        except PatternError as error:
            raise EngineError(f"{error} (pattern {plan_text(database.rows[error.index].pattern)})") from None
        out.database = out.shared.database

    cdef void uses(self, waf_group *out, list uses) except *:
        cdef uint32_t at = 0
        cdef uint32_t i
        cdef uint32_t *first = <uint32_t *>room(self.program, (len(uses) + 1) * sizeof(uint32_t))
        cdef waf_use *made = <waf_use *>room(self.program, sum(map(len, uses)) * sizeof(waf_use))
        batch = {index: i for i, index in enumerate(self.blueprint.batched)}
        for i in range(len(uses)):
            first[i] = at
            for link, chain in uses[i]:
                made[at].link = link
                made[at].batch = batch[link]
                made[at].chain = chain
                at += 1
        first[len(uses)] = at
        out.first_use = first
        out.uses = made

    cdef const uint64_t *empty(self, waf_group *group) except NULL:
        """What matches the empty string."""
        cdef uint64_t *words = <uint64_t *>room(self.program, (group.expressions + 63) // 64 * 8)
        cdef hs_scratch_t *scratch = NULL
        cdef rl_pcre_scratch *pcre = rl_pcre_scratch_new(100000)
        cdef rl_span spans[RL_PCRE_GROUPS]
        cdef const waf_lane *lane
        cdef uint32_t i
        cdef uint32_t j
        cdef int status = HS_SUCCESS
        hits = []
        if pcre == NULL:
            raise MemoryError
        try:
            for i in range(group.steps[0].lane_count if group.step_count else 0):
                lane = &group.steps[0].lanes[i]
                if lane.needs:
                    continue
                if hs_alloc_scratch(lane.database, &scratch) != HS_SUCCESS:
                    raise MemoryError
                status = hs_scan(lane.database, "", 0, 0, scratch, note_row, <void *>hits)
                if status != HS_SUCCESS:
                    raise EngineError(f"pattern database: error {status} on the empty string")
                for row in hits:
                    j = row
                    j = lane.rows[j].expression
                    if group.confirm[j] == NULL or rl_pcre_match(group.confirm[j], pcre, rl_view("", 0), 0, spans) > 0:
                        words[j >> 6] |= <uint64_t>1 << (j & 63)
                hits.clear()
            for i in range(group.expressions):
                if group.ungated != NULL and group.ungated[i >> 6] >> (i & 63) & 1 and rl_pcre_match(group.confirm[i], pcre, rl_view("", 0), 0, spans) > 0:
                    words[i >> 6] |= <uint64_t>1 << (i & 63)
        finally:
            hs_free_scratch(scratch)
            rl_pcre_scratch_free(pcre)
        return words

    cdef void slot(self, waf_slot *out, slot) except *:
        blueprint = self.blueprint
        batch = {index: i for i, index in enumerate(blueprint.batched)}
        out.group = slot.group
        out.batch = bit_set(self.program, [batch[i] for i in slot.links], <uint32_t>len(blueprint.batched))
        for index in slot.links:
            operator = blueprint.links[index].operator
            for chain in blueprint.chains_of[index]:
                out.chains |= <uint64_t>1 << <int>chain
                if operator == Operator.DETECT_SQLI:
                    out.sqli |= <uint64_t>1 << <int>chain
                elif operator == Operator.DETECT_XSS:
                    out.xss |= <uint64_t>1 << <int>chain
                for kind in blueprint.chains[chain]:
                    out.classes |= rl_transform_classes(kind)

    cdef const waf_slot *slots_by_name(self, dict by_name, uint32_t count) except NULL:
        cdef waf_slot *made = <waf_slot *>room(self.program, count * sizeof(waf_slot))
        cdef uint32_t i
        self.slot(&made[0], by_name[0])
        for i in range(1, count):
            if i in by_name:
                self.slot(&made[i], by_name[i])
            else:
                made[i] = made[0]
        return made

    cdef void source(self, waf_source *out, int source) except *:
        both = [self.blueprint.slots.get((source, is_name), {0: plan.Slot()}) for is_name in (False, True)]
        out.wanted = any(slot.links for by_name in both for slot in by_name.values())
        out.named = any(len(by_name) > 1 for by_name in both)
        count = len(self.blueprint.names) + 1 if out.named else 1
        out.values = self.slots_by_name(both[0], count)
        out.names = self.slots_by_name(both[1], count)

    cdef void response(self, ir) except *:
        cdef rl_view *types = <rl_view *>room(self.program, len(ir.response_types) * sizeof(rl_view))
        for i, kind in enumerate(ir.response_types):
            types[<uint32_t>i] = kept(self.program, kind)
        self.program.response_types = types
        self.program.response_type_count = <uint32_t>len(ir.response_types)
        self.program.response_access = ir.response_access
        self.program.response_limit = ir.response_limit
        self.program.response_reject = ir.response_reject

    cdef void collections(self, ir) except *:
        """Names of a collection stand together, in the order of the alphabet."""
        cdef uint32_t i
        for i in range(WAF_COLLECTIONS):
            names = [n for n, name in enumerate(self.blueprint.store) if name.startswith(plan.store_name(WAF_IP + i, b""))]
            self.program.collection_slots[i].first = names[0] if names else 0
            self.program.collection_slots[i].end = names[len(names) - 1] + 1 if names else 0
        self.program.collection_timeout = min(ir.collection_timeout, 0xffffffff)
        self.program.application = kept(self.program, ir.application)

    cdef void places(self, places) except *:
        self.program.places = places_open(places.path, places.origin)
        for i, name in enumerate(GEO_NAMES):
            self.program.place_slots[<uint32_t>i] = self.slot_of[b"geo." + name]

    # ---- the store

    cdef void store(self, initial) except *:
        names = self.blueprint.store
        program = self.program
        cdef uint32_t i
        cdef rl_view *views = <rl_view *>room(program, len(names) * sizeof(rl_view))
        cdef waf_value *values = <waf_value *>room(program, len(names) * sizeof(waf_value))
        program.store_index = name_table(program, names, &program.store_mask)
        for i in range(len(names)):
            views[i] = kept(program, names[i])
        for name, value in initial:
            i = self.slot_of[b"tx." + name]
            values[i].text = kept(program, value)
            values[i].number = number_of(values[i].text)
            values[i].set = values[i].has_text = values[i].has_number = 1
        program.store_names = views
        program.store_count = <uint32_t>len(names)
        program.initial = values


cdef int note_row(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *context) noexcept with gil:
    (<list>context).append(id)
    return 0


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


def plan_text(pattern: bytes) -> str:
    return pattern.decode("utf-8", "backslashreplace")


def rows_of(database) -> list:
    return [(row.pattern, row.flags, i) for i, row in enumerate(database.rows)]


def fits(pattern: bytes) -> bool:
    """Does the pattern library take it?"""
    return database_fault((pattern, FLAGS)) is None


def bad_patterns(ir) -> list:
    """Every pattern of a program that does not compile, each of its own where a rule has several."""
    return [
        BadPattern(pattern, fault, link.name or b"%d" % link.rule, place=link.origin)
        for link in ir.links if link.operator in REGEXES and plan.constant(link.argument)
        for pattern in link.phrases or (b"".join(link.argument),)
        if (fault := regex_fault(pattern, link.ignore_case))
    ]


cdef waf_program *waf_build(object ir, object cache_dir, bint direct=False) except NULL:
    cdef waf_program *program = <waf_program *>calloc(1, sizeof(waf_program))
    cdef waf_link *links
    cdef uint32_t i
    cdef uint32_t phase
    cdef bint first = True
    if program == NULL:
        raise MemoryError
    arena_reset(&program.memory, <size_t>1 << 40, 0, 0)
    cdef Builder builder = Builder()
    try:
        blueprint = plan.draw(ir, batch=not direct)
        builder.tables = {}
        builder.held = []
        builder.program = program
        builder.blueprint = blueprint
        builder.cache_dir = cache_dir
        builder.slot_of = {name: i for i, name in enumerate(blueprint.store)}
        builder.id_of = {name: i + 1 for i, name in enumerate(blueprint.names)}
        builder.regexes = {}
        program.link_count = <uint32_t>len(ir.links)
        program.batch_count = <uint32_t>len(blueprint.batched)
        program.regexes = <shared_regex **>room(program, (4 * len(ir.links) + 64) * sizeof(void *))
        program.name_count = <uint32_t>len(blueprint.names)
        program.names = name_table(program, blueprint.names, &program.name_mask)
        program.engine = int(ir.engine)
        program.body_access = ir.body_access
        program.every_reading = ir.every_reading
        program.json_depth = ir.json_depth
        program.arguments_max = ir.arguments_max
        builder.store(ir.initial)
        program.score_slot = builder.slot_of[b"tx." + ir.score] if ir.score else -1
        program.response_score_slot = builder.slot_of[b"tx." + ir.response_score] if ir.response_score else -1
        builder.response(ir)
        builder.collections(ir)
        program.blocklist_key = kept(program, ir.blocklist_key)
        if ir.places:
            builder.places(ir.places)
        answers = plan.of_responses(ir)
        scores = {b"tx." + name for name in ir.scores}
        links = <waf_link *>room(program, len(ir.links) * sizeof(waf_link))
        program.links = links
        in_turn = []
        batched = {index: i for i, index in enumerate(blueprint.batched)}
        for i, link in enumerate(ir.links):
            if i in batched:
                links[i].batched = 1
                links[i].batch = batched[i]
            builder.link(&links[i], link, i in answers, first, scores)
            if first and i not in batched:
                in_turn.append(i)
            first = not link.chained
        program.direct = bit_set(program, in_turn, program.link_count)
        for phase in range(6):
            program.phases[phase] = sum(1 for link in ir.links if link.phase <= phase)
        builder.nodes()
        program.groups = <waf_group *>room(program, len(blueprint.groups) * sizeof(waf_group))
        for i, group in enumerate(blueprint.groups):
            program.group_count = i + 1
            builder.group(&program.groups[i], group, cache_dir)
        read = plan.read(ir)
        for i in range(WAF_SOURCES):
            program.sources[i].read = i in read
            builder.source(&program.sources[i], i)
        return program
    except BaseException as error:
        waf_free(program)
        if isinstance(error, EngineError):
            found = bad_patterns(ir)
            whose = f"rule {plan_text(found[0].rule)}: {found[0].message}" if found else str(error)
            raise EngineError(whose, found) from None
        raise
    finally:
        for address in builder.held or ():
            database_release(<shared_database *><size_t>address)


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
