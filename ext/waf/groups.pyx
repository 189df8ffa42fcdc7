from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimitd._ext.bytes.pcre cimport (
    RL_PCRE_GROUPS, rl_pcre, rl_pcre_match, rl_pcre_scratch, rl_pcre_scratch_free, rl_pcre_scratch_new, rl_span,
)
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.database cimport database_acquire, database_fault
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_alloc_scratch, hs_database_t, hs_free_scratch, hs_scan, hs_scratch_t
from ratelimitd._ext.waf.builder cimport Builder, bit_set, plan_text, room
from ratelimitd._ext.waf.layout cimport waf_group, waf_lane, waf_row, waf_step, waf_use

import os

from ratelimitd._ext.scan.database import PatternError
from ratelimitd.errors import EngineError
from ratelimitd.waf import databases
from ratelimitd.waf.databases import FLAGS
from ratelimitd.waf.program import Operator


def rows_of(database) -> list:
    return [(row.pattern, row.flags, i) for i, row in enumerate(database.rows)]


def fits(pattern: bytes) -> bool:
    """Does the pattern library take it?"""
    return database_fault((pattern, FLAGS)) is None


cdef int note_row(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *context) noexcept with gil:
    (<list>context).append(id)
    return 0


cdef void put_group(Builder builder, waf_group *out, group) except *:
    blueprint = builder.blueprint
    keys = group.expressions
    injections = [(Operator.DETECT_SQLI, len(keys)), (Operator.DETECT_XSS, len(keys) + 1)]
    number = {key: i for i, key in enumerate(keys)}
    uses = [[] for _ in range(len(keys) + 2)]
    for index in sorted(group.links):
        key = blueprint.key_of.get(index)
        at = number[key] if key is not None else dict(injections)[blueprint.links[index].operator]
        uses[at] += [(index, chain) for chain in blueprint.chains_of[index]]
    out.expressions = <uint32_t>len(uses)
    builder.program.most_expressions = max(builder.program.most_expressions, out.expressions)
    put_uses(builder, out, uses)
    out.confirm = <const rl_pcre **>room(builder.program, len(uses) * sizeof(void *))
    drawn = plan_of(builder, keys)
    for i in {row.expression for _, found in drawn.steps for database in found for row in database.rows if not row.exact} | set(drawn.ungated):
        out.confirm[<uint32_t>i] = builder.regex(keys[i].regex, keys[i].ignore_case, "")
    if drawn.ungated:
        out.ungated = bit_set(builder.program, drawn.ungated, out.expressions)
    put_steps(builder, out, drawn)
    out.empty = empty_matches(builder, out)


def plan_of(Builder builder, keys):
    """The plan whose databases compile, from disk if it is there. Nearly always everything fits, so that is tried first."""
    path = databases.plan_path(keys, os.fspath(builder.cache_dir)) if builder.cache_dir else None
    known = databases.read(path) if path else None
    if known:
        return known
    made = databases.draw(keys, lambda pattern: True)
    if not compiles(builder, made):
        made = databases.draw(keys, fits)
    if path:
        databases.write(path, made)
    return made


def compiles(Builder builder, drawn) -> bool:
    """Keeps the databases until the program has them."""
    try:
        for _, found in drawn.steps:
            for database in found:
                builder.held.append(<size_t>database_acquire(rows_of(database), builder.cache_dir))
    except PatternError:
        return False
    return True


cdef void put_steps(Builder builder, waf_group *out, drawn) except *:
    """The databases, and the table that says which of them a string needs."""
    cdef waf_step *steps = <waf_step *>room(builder.program, len(drawn.steps) * sizeof(waf_step))
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
        steps[i].lanes = <waf_lane *>room(builder.program, len(found) * sizeof(waf_lane))
        out.step_count = i + 1
        for j, database in enumerate(found):
            steps[i].lane_count = j + 1
            put_lane(builder, &steps[i].lanes[j], database)
            if database.needs:
                steps[i].lanes[j].needs = <uint32_t>1 << <int>(len(drawn.steps) + needs.index(database.needs))
            if database.erased:
                steps[i].lanes[j].erased = byte_table(builder, database.erased)


cdef const uint8_t *byte_table(Builder builder, members) except NULL:
    """By byte: is it a member? The same table for the same set, so that a string is erased once."""
    cdef uint8_t *table
    cdef uint32_t i
    if members not in builder.tables:
        table = <uint8_t *>room(builder.program, 256)
        for i in range(256):
            table[i] = members >> i & 1
        builder.tables[members] = <size_t>table
    return <const uint8_t *><size_t>builder.tables[members]


cdef void put_lane(Builder builder, waf_lane *out, database) except *:
    cdef waf_row *rows = <waf_row *>room(builder.program, len(database.rows) * sizeof(waf_row))
    cdef uint32_t i
    for i, row in enumerate(database.rows):
        rows[i].expression = row.expression
        rows[i].exact = row.exact
    out.rows = rows
    try:
        out.shared = database_acquire(rows_of(database), builder.cache_dir)
    except PatternError as error:
        raise EngineError(f"{error} (pattern {plan_text(database.rows[error.index].pattern)})") from None
    out.database = <const hs_database_t *>out.shared.thing


cdef void put_uses(Builder builder, waf_group *out, list uses) except *:
    cdef uint32_t at = 0
    cdef uint32_t i
    cdef uint32_t *first = <uint32_t *>room(builder.program, (len(uses) + 1) * sizeof(uint32_t))
    cdef waf_use *made = <waf_use *>room(builder.program, sum(map(len, uses)) * sizeof(waf_use))
    batch = {index: i for i, index in enumerate(builder.blueprint.batched)}
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


cdef const uint64_t *empty_matches(Builder builder, waf_group *group) except NULL:
    """What matches the empty string."""
    cdef uint64_t *words = <uint64_t *>room(builder.program, (group.expressions + 63) // 64 * 8)
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
