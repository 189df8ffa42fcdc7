from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from ratelimitd._ext.bytes.inflate cimport rl_inflater_free, rl_inflater_new
from ratelimitd._ext.bytes.pcre cimport rl_pcre_scratch_free, rl_pcre_scratch_new
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_response, rl_view
from ratelimitd._ext.scan.arena cimport arena_free, arena_reset
from ratelimitd._ext.scan.hs cimport HS_SUCCESS, hs_alloc_scratch, hs_database_t, hs_free_scratch
from ratelimitd._ext.waf.body cimport body_read, body_start
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.collection cimport collections_begin
from ratelimitd._ext.waf.fields cimport fields_begin, fields_request
from ratelimitd._ext.waf.layout cimport WAF_BUDGET_FACTOR, waf_moment, waf_program, waf_result, waf_scratch, waf_string, waf_value
from ratelimitd._ext.waf.response cimport response_body, response_head
from ratelimitd._ext.waf.run cimport run_phase
from ratelimitd._ext.waf.store cimport store_begin, value_number
from ratelimitd._ext.waf.strings cimport hits_begin, scan_source

cdef enum:
    LEAST_BYTES = 1 << 20     # memory that a scratch keeps between transactions
    MOST_BYTES = 32 << 20     # ... however much they have needed of late
    BUDGET_BYTES = 1 << 19    # memory of any transaction, beside what its bytes call for
    MATCH_LIMIT = 100000      # backtracks of one regular expression

cdef rl_view NOTHING = rl_view("", 0)


cdef waf_scratch *waf_scratch_new() noexcept nogil:
    cdef waf_scratch *scratch = <waf_scratch *>calloc(1, sizeof(waf_scratch))
    if scratch != NULL:
        scratch.pcre = rl_pcre_scratch_new(MATCH_LIMIT)
        scratch.inflater = rl_inflater_new()
        if scratch.pcre == NULL or scratch.inflater == NULL:
            waf_scratch_free(scratch)
            return NULL
    return scratch


cdef bint grown(void **array, uint32_t *have, uint32_t need, size_t size) noexcept nogil:
    """Room for need elements, zeroed; what was there may be lost."""
    cdef void *memory
    if need <= have[0]:
        return True
    memory = realloc(array[0], need * size)
    if memory == NULL:
        return False
    memset(memory, 0, need * size)
    array[0] = memory
    have[0] = need
    return True


cdef int waf_scratch_prepare(waf_scratch *scratch, const waf_program *program) noexcept nogil:
    cdef uint32_t group
    cdef uint32_t step
    cdef uint32_t lane
    cdef uint32_t words = (program.link_count + 63) // 64 + 1
    for group in range(program.group_count):
        for step in range(program.groups[group].step_count):
            for lane in range(program.groups[group].steps[step].lane_count):
                if hs_alloc_scratch(program.groups[group].steps[step].lanes[lane].database, &scratch.hs) != HS_SUCCESS:
                    return -1
    for lane in range(program.link_count):
        if program.links[lane].phrases != NULL and hs_alloc_scratch(<hs_database_t *>program.links[lane].phrases.thing, &scratch.hs) != HS_SUCCESS:
            return -1
    # A string more than nodes: a result is written before it is known to be a duplicate.
    if not grown(<void **>&scratch.strings, &scratch.nodes, program.node_count + 1, sizeof(waf_string)):
        return -1
    if not grown(<void **>&scratch.trail, &scratch.depth, program.most_depth + 1, sizeof(uint32_t)):
        return -1
    if not grown(<void **>&scratch.hit_words, &scratch.words, 2 * ((program.most_expressions + 63) // 64 + 1), sizeof(uint64_t)):
        return -1
    if not grown(<void **>&scratch.hit_first, &scratch.links, program.link_count + 1, sizeof(uint32_t)):
        return -1
    if not grown(<void **>&scratch.hit_last, &scratch.last_links, program.link_count + 1, sizeof(uint32_t)):
        return -1
    if not grown(<void **>&scratch.pending, &scratch.pending_words, words, sizeof(uint64_t)):
        return -1
    if not grown(<void **>&scratch.removed, &scratch.removed_words, words, sizeof(uint64_t)):
        return -1
    if not grown(<void **>&scratch.store, &scratch.stores, program.store_count + 1, sizeof(waf_value)):
        return -1
    return 0


cdef void waf_scratch_free(waf_scratch *scratch) noexcept nogil:
    if scratch == NULL:
        return
    hs_free_scratch(scratch.hs)
    rl_pcre_scratch_free(scratch.pcre)
    rl_inflater_free(scratch.inflater)
    arena_free(&scratch.memory)
    free(scratch.strings)
    free(scratch.trail)
    free(scratch.hit_words)
    free(scratch.hit_first)
    free(scratch.hit_last)
    free(scratch.pending)
    free(scratch.removed)
    free(scratch.store)
    free(scratch)


cdef size_t header_bytes(const rl_pair *headers, uint32_t count) noexcept nogil:
    cdef size_t size = 0
    cdef uint32_t i
    for i in range(count):
        size += headers[i].name.size + headers[i].value.size
    return size


cdef size_t request_bytes(const rl_request *request, uint32_t body_limit) noexcept nogil:
    cdef size_t size = <size_t>request.path.size + request.host.size + request.method.size + min(request.body.size, body_limit)
    return size + header_bytes(request.headers, request.header_count)


cdef size_t response_bytes(const rl_response *response, uint32_t body_limit) noexcept nogil:
    return header_bytes(response.headers, response.header_count) + min(response.body.size, body_limit)


cdef void result_begin(waf_result *out) noexcept nogil:
    out.score = out.fired_count = out.fired_more = 0
    out.deciding = -1
    out.status = 200
    out.denied = 0
    out.inspected_all = 1
    out.bytes_inspected = 0


cdef void begin(
    const waf_program *program, waf_scratch *scratch, const waf_moment *moment, const rl_request *request, size_t size, bint detect,
    waf_result *out) noexcept nogil:
    cdef uint32_t words = (program.link_count + 63) // 64 + 1
    scratch.program = program
    scratch.moment = moment
    scratch.request = request
    scratch.out = out
    scratch.round += 1
    if scratch.round == 0:     # after 2^32 transactions: nothing old may look new
        memset(scratch.seen, 0, sizeof(scratch.seen))
        memset(scratch.dynamic, 0, sizeof(scratch.dynamic))
        scratch.round = 1
    arena_reset(&scratch.memory, BUDGET_BYTES + WAF_BUDGET_FACTOR * size, LEAST_BYTES, MOST_BYTES)
    result_begin(out)
    out.error = 0
    memset(scratch.pending, 0, words * sizeof(uint64_t))
    memset(scratch.removed, 0, words * sizeof(uint64_t))
    scratch.removal_count = scratch.matched_count = 0
    scratch.hit = scratch.force_body = scratch.body_error = scratch.url_error = scratch.stopped = scratch.stop_phase = scratch.allowed = 0
    scratch.processor = WAF_BODY_NONE
    scratch.body_access = program.body_access
    scratch.engine = program.engine
    if detect and scratch.engine == WAF_ENGINE_ON:
        scratch.engine = WAF_ENGINE_DETECTION_ONLY
    scratch.multipart = scratch.unmatched_boundary = 0
    scratch.body_error_text = NOTHING
    scratch.argument_count = scratch.arguments_size = scratch.files_size = scratch.body_size = 0
    scratch.response_size = scratch.response_cut = scratch.answering = 0
    fields_begin(scratch)
    hits_begin(scratch)
    store_begin(scratch)
    collections_begin(scratch)


cdef void scan_new(waf_scratch *scratch, const uint32_t *before) noexcept nogil:
    """Scans the fields that were added since their sources' lists ended at `before`."""
    cdef uint32_t source
    cdef uint32_t first
    for source in range(WAF_SOURCES):
        first = scratch.sources[source].first if before[source] == 0 else scratch.fields[before[source] - 1].next
        if first:
            scan_source(scratch, <uint16_t>source, first)


cdef void lasts(waf_scratch *scratch, uint32_t *before) noexcept nogil:
    cdef uint32_t source
    for source in range(WAF_SOURCES):
        before[source] = scratch.sources[source].last


cdef void request_phases(waf_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil:
    cdef uint32_t before[32]
    memset(before, 0, sizeof(before))
    fields_request(scratch, request)
    body_start(scratch, request)
    scan_new(scratch, before)
    run_phase(scratch, 1)
    if not scratch.stopped:
        lasts(scratch, before)
        body_read(scratch, request, body_limit)
        scan_new(scratch, before)
        run_phase(scratch, 2)


cdef void response_phases(waf_scratch *scratch, const rl_response *response, uint32_t body_limit) noexcept nogil:
    cdef uint32_t before[32]
    lasts(scratch, before)
    response_head(scratch, response)
    scan_new(scratch, before)
    if not scratch.stopped:
        run_phase(scratch, 3)
    if not scratch.stopped:
        lasts(scratch, before)
        response_body(scratch, response, body_limit)
        scan_new(scratch, before)
        run_phase(scratch, 4)


cdef void take_score(waf_scratch *scratch, int32_t slot) noexcept nogil:
    cdef waf_result *out = scratch.out
    cdef uint32_t i
    if slot >= 0:
        out.score = <uint32_t>max(0, value_number(&scratch.store[slot]))
        return
    for i in range(out.fired_count):
        out.score += out.fired[i].score


cdef void waf_request(
    const waf_program *program, waf_scratch *scratch, const waf_moment *moment, const rl_request *request, uint32_t body_limit, bint detect,
    waf_result *out) noexcept nogil:
    begin(program, scratch, moment, request, request_bytes(request, body_limit), detect, out)
    if scratch.engine == WAF_ENGINE_OFF:
        return
    request_phases(scratch, request, body_limit)
    scratch.stopped = 0
    run_phase(scratch, 5)
    take_score(scratch, program.score_slot)


cdef void waf_response(
    const waf_program *program, waf_scratch *scratch, const waf_moment *moment, const rl_request *request, const rl_response *response,
    uint32_t body_limit, bint detect, waf_result *out) noexcept nogil:
    begin(program, scratch, moment, request, request_bytes(request, body_limit) + response_bytes(response, body_limit), detect, out)
    if scratch.engine == WAF_ENGINE_OFF:
        return
    scratch.answering = 1
    request_phases(scratch, request, body_limit)
    result_begin(out)
    scratch.stopped = scratch.allowed
    response_phases(scratch, response, body_limit)
    scratch.stopped = 0
    run_phase(scratch, 5)
    take_score(scratch, program.response_score_slot)
