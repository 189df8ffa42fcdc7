from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, strlen

from ratelimitd._ext.bytes.form_data cimport *
from ratelimitd._ext.bytes.pairs cimport rl_pairs_cookie, rl_pairs_decode, rl_pairs_next
from ratelimitd._ext.bytes.uri cimport rl_uri, rl_uri_read
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.clock cimport is_time, time_text
from ratelimitd._ext.waf.layout cimport WAF_FIELDS, waf_field, waf_program, waf_scratch, waf_value
from ratelimitd._ext.waf.store cimport value_set_number, value_text

cdef extern from "bytes/hash.h" nogil:
    uint64_t rl_hash(rl_view text)

cdef enum:
    NAME_BYTES = 64     # longer names are not spelt out by rules

cdef rl_view NOTHING = rl_view("", 0)


cdef rl_view literal(const char *text) noexcept nogil:
    return rl_view(text, <uint32_t>strlen(text))


cdef rl_view there(rl_view text) noexcept nogil:
    """The text, which is somewhere even when it is empty: memcpy and its kin want no NULL."""
    return text if text.size else NOTHING


cdef rl_view joined(waf_scratch *scratch, rl_view a, rl_view b, rl_view c) noexcept nogil:
    cdef size_t size = <size_t>a.size + b.size + c.size
    cdef char *room = arena_reserve(&scratch.memory, size + 1)
    if room == NULL:
        scratch.out.error = 1
        return NOTHING
    memcpy(room, there(a).data, a.size)
    memcpy(room + a.size, there(b).data, b.size)
    memcpy(room + a.size + b.size, there(c).data, c.size)
    arena_commit(&scratch.memory, size)
    return rl_view(room, <uint32_t>size)


cdef rl_view digits(waf_scratch *scratch, long long number) noexcept nogil:
    cdef waf_value value
    value_set_number(&value, number)
    return value_text(scratch, &value)


cdef void fields_begin(waf_scratch *scratch) noexcept nogil:
    cdef uint32_t i
    for i in range(WAF_SOURCES):
        scratch.sources[i].first = scratch.sources[i].last = 0
    scratch.field_count = 0


cdef uint32_t name_id(const waf_program *program, rl_view name) noexcept nogil:
    """The number of a name that a rule spells out; 0 for any other."""
    cdef char lower[64]
    cdef rl_view key
    cdef uint32_t i
    cdef uint32_t at
    if program.name_count == 0 or name.size > NAME_BYTES:
        return 0
    for i in range(name.size):
        lower[i] = name.data[i] + 32 if c'A' <= name.data[i] <= c'Z' else name.data[i]
    key.data = lower
    key.size = name.size
    at = <uint32_t>rl_hash(key) & program.name_mask
    while program.names[at].id:
        if program.names[at].name.size == key.size and memcmp(program.names[at].name.data, lower, key.size) == 0:
            return program.names[at].id
        at = (at + 1) & program.name_mask
    return 0


cdef void field_add(waf_scratch *scratch, uint16_t source, rl_view name, rl_view value) noexcept nogil:
    cdef waf_field *field
    cdef uint32_t number
    if scratch.field_count == WAF_FIELDS:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return
    field = &scratch.fields[scratch.field_count]
    scratch.field_count += 1
    number = scratch.field_count
    field.name = there(name)
    field.value = there(value)
    field.name_id = name_id(scratch.program, name) if name.size else 0
    field.next = 0
    if scratch.sources[source].last:
        scratch.fields[scratch.sources[source].last - 1].next = number
    else:
        scratch.sources[source].first = number
    scratch.sources[source].last = number


cdef rl_view decoded(waf_scratch *scratch, rl_view text, int *invalid) noexcept nogil:
    cdef char *room
    cdef rl_view result
    if text.size == 0 or not (memchr(text.data, c'%', text.size) or memchr(text.data, c'+', text.size)):
        return text
    room = arena_reserve(&scratch.memory, text.size)
    if room == NULL:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return text
    result = rl_pairs_decode(text, room, invalid)
    if result.data == room:
        arena_commit(&scratch.memory, result.size)
    return result


cdef bint add_argument(waf_scratch *scratch, uint16_t source, rl_view name, rl_view value) noexcept nogil:
    if scratch.argument_count >= scratch.program.arguments_max:
        scratch.out.inspected_all = 0
        return False
    scratch.argument_count += 1
    scratch.arguments_size += name.size + value.size
    field_add(scratch, source, name, value)
    return True


cdef void add_arguments(waf_scratch *scratch, uint16_t source, rl_view form) noexcept nogil:
    cdef uint32_t cursor = 0
    cdef uint32_t begin = 0
    cdef int invalid = 0
    cdef rl_pair pair
    while rl_pairs_next(form, c'&', &cursor, &pair):
        if not add_argument(scratch, source, decoded(scratch, pair.name, NULL), decoded(scratch, pair.value, &invalid)):
            # ModSecurity drops what is too much. Here it is one value more, so that nothing hides behind the limit.
            if scratch.program.every_reading:
                field_add(scratch, source, NOTHING, decoded(scratch, rl_view(form.data + begin, form.size - begin), NULL))
            break
        begin = cursor
    scratch.url_error |= invalid != 0


cdef rl_view without_query(rl_view target) noexcept nogil:
    cdef const char *mark = <const char *>memchr(target.data, c'?', target.size) if target.size else NULL
    return target if mark == NULL else rl_view(target.data, <uint32_t>(mark - target.data))


cdef void add_target(waf_scratch *scratch, const rl_request *request) noexcept nogil:
    cdef rl_view protocol = request.protocol if request.protocol.size else literal("HTTP/1.1")
    cdef char *room = arena_reserve(&scratch.memory, request.path.size + 1)
    cdef rl_uri uri
    cdef rl_view line
    if room == NULL:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return
    arena_commit(&scratch.memory, request.path.size + 1)
    rl_uri_read(request.path, room, &uri)
    field_add(scratch, WAF_REQUEST_METHOD, NOTHING, request.method)
    field_add(scratch, WAF_REQUEST_URI_RAW, NOTHING, request.path)
    field_add(scratch, WAF_REQUEST_URI, NOTHING, uri.uri)
    field_add(scratch, WAF_REQUEST_FILENAME, NOTHING, uri.filename)
    field_add(scratch, WAF_PATH_INFO, NOTHING, uri.filename)
    field_add(scratch, WAF_REQUEST_BASENAME, NOTHING, uri.basename)
    field_add(scratch, WAF_REQUEST_PROTOCOL, NOTHING, protocol)
    field_add(scratch, WAF_QUERY_STRING, NOTHING, uri.query)
    line = joined(scratch, request.method, literal(" "), request.path)
    line = joined(scratch, line, literal(" "), protocol)
    field_add(scratch, WAF_REQUEST_LINE, NOTHING, line)
    if scratch.program.sources[WAF_RAW_PATH].read:
        field_add(scratch, WAF_RAW_PATH, NOTHING, without_query(request.path))
    add_arguments(scratch, WAF_ARGS_GET, uri.query)


cdef void add_headers(waf_scratch *scratch, const rl_request *request) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t cursor
    cdef const rl_pair *header
    cdef rl_pair cookie
    cdef bint host = False
    for i in range(request.header_count):
        header = &request.headers[i]
        host |= header.name.size == 4 and memcmp(header.name.data, "host", 4) == 0
    if not host and request.host.size:
        field_add(scratch, WAF_REQUEST_HEADERS, literal("host"), request.host)
    for i in range(request.header_count):
        header = &request.headers[i]
        field_add(scratch, WAF_REQUEST_HEADERS, header.name, header.value)
        if header.name.size == 6 and memcmp(header.name.data, "cookie", 6) == 0:
            cursor = 0
            while rl_pairs_cookie(header.value, &cursor, &cookie):
                field_add(scratch, WAF_REQUEST_COOKIES, cookie.name, cookie.value)


cdef void fields_request(waf_scratch *scratch, const rl_request *request) noexcept nogil:
    add_target(scratch, request)
    add_headers(scratch, request)
    field_add(scratch, WAF_REMOTE_ADDR, NOTHING, scratch.moment.client if scratch.moment.client.size else request.source_address)
    field_add(scratch, WAF_SERVER_NAME, NOTHING, request.host)
    field_add(scratch, WAF_UNIQUE_ID, NOTHING, request.request_id)


cdef rl_view processor_name(uint8_t processor) noexcept nogil:
    if processor == WAF_BODY_URLENCODED:
        return literal("URLENCODED")
    if processor == WAF_BODY_MULTIPART:
        return literal("MULTIPART")
    if processor == WAF_BODY_JSON:
        return literal("JSON")
    if processor == WAF_BODY_XML:
        return literal("XML")
    return NOTHING


cdef long long multipart_flag(waf_scratch *scratch, uint16_t variable) noexcept nogil:
    cdef uint32_t flags = scratch.multipart
    if variable == WAF_MULTIPART_UNMATCHED_BOUNDARY:
        return scratch.unmatched_boundary
    if variable == WAF_MULTIPART_CRLF_LF_LINES:
        return flags & RL_FORM_DATA_CRLF_LINE and flags & RL_FORM_DATA_LF_LINE
    if variable == WAF_MULTIPART_STRICT_ERROR:
        return flags & RL_FORM_DATA_STRICT_ERROR != 0
    if variable == WAF_MULTIPART_BOUNDARY_QUOTED:
        return flags & RL_FORM_DATA_BOUNDARY_QUOTED != 0
    if variable == WAF_MULTIPART_BOUNDARY_WHITESPACE:
        return flags & RL_FORM_DATA_BOUNDARY_WHITESPACE != 0
    if variable == WAF_MULTIPART_DATA_BEFORE:
        return flags & RL_FORM_DATA_DATA_BEFORE != 0
    if variable == WAF_MULTIPART_DATA_AFTER:
        return flags & RL_FORM_DATA_DATA_AFTER != 0
    if variable == WAF_MULTIPART_HEADER_FOLDING:
        return flags & RL_FORM_DATA_HEADER_FOLDING != 0
    if variable == WAF_MULTIPART_LF_LINE:
        return flags & RL_FORM_DATA_LF_LINE != 0
    if variable == WAF_MULTIPART_SEMICOLON_MISSING:
        return flags & RL_FORM_DATA_SEMICOLON_MISSING != 0
    if variable == WAF_MULTIPART_INVALID_QUOTING:
        return flags & RL_FORM_DATA_INVALID_QUOTING != 0
    if variable == WAF_MULTIPART_INVALID_PART:
        return flags & RL_FORM_DATA_INVALID_PART != 0
    if variable == WAF_MULTIPART_INVALID_HEADER_FOLDING:
        return flags & RL_FORM_DATA_INVALID_HEADER_FOLDING != 0
    return 0


cdef bint computed(waf_scratch *scratch, uint16_t variable, rl_view *value) noexcept nogil:
    cdef long long number
    if variable == WAF_REQBODY_PROCESSOR:
        value[0] = processor_name(scratch.processor)
        return True
    if variable == WAF_REQBODY_ERROR_MSG:
        value[0] = scratch.body_error_text
        return True
    if variable == WAF_SESSIONID or variable == WAF_USERID:
        value[0] = scratch.collections[(WAF_SESSION if variable == WAF_SESSIONID else WAF_USER) - WAF_IP].key
        return True
    if variable == WAF_WEBAPPID:
        value[0] = scratch.program.application
        return True
    if variable == WAF_ARGS_COMBINED_SIZE:
        number = scratch.arguments_size
    elif variable == WAF_FILES_COMBINED_SIZE:
        number = scratch.files_size
    elif variable == WAF_REQUEST_BODY_LENGTH:
        number = scratch.body_size
    elif variable == WAF_REQBODY_ERROR:
        number = scratch.body_error
    elif WAF_MULTIPART_STRICT_ERROR <= variable <= WAF_MULTIPART_FILE_LIMIT_EXCEEDED:
        number = multipart_flag(scratch, variable)
    elif variable == WAF_INBOUND_DATA_ERROR:
        number = scratch.request.partial_body
    elif variable == WAF_OUTBOUND_DATA_ERROR:
        number = scratch.response_cut
    elif variable == WAF_RESPONSE_CONTENT_LENGTH:
        number = scratch.response_size
    elif variable == WAF_DURATION:
        number = 0
    elif variable == WAF_TIME_EPOCH:
        number = scratch.moment.now_ms // 1000
    elif is_time(variable):
        value[0] = time_text(scratch, variable)
        return True
    else:
        return False
    value[0] = digits(scratch, number)
    return True
