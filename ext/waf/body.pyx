from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, strlen

from ratelimitd._ext.bytes.form_data cimport (
    RL_FORM_DATA_CRLF_LINE, RL_FORM_DATA_END, RL_FORM_DATA_FIELD, RL_FORM_DATA_FILE, RL_FORM_DATA_FILENAME, RL_FORM_DATA_HEADER,
    RL_FORM_DATA_LF_LINE, RL_FORM_DATA_NAME, RL_FORM_DATA_STRICT_ERROR, rl_form_data, rl_form_data_item, rl_form_data_next, rl_form_data_room,
    rl_form_data_start,
)
from ratelimitd._ext.bytes.inflate cimport RL_INFLATE_FREE_BYTES, RL_INFLATE_OK, rl_inflate, rl_inflate_limits, rl_inflate_room
from ratelimitd._ext.bytes.json_args cimport (
    RL_JSON_ARGS_END, RL_JSON_ARGS_LEAF, rl_json_args, rl_json_args_next, rl_json_args_room, rl_json_args_start, rl_json_level,
)
from ratelimitd._ext.bytes.xml cimport RL_XML_OK, rl_xml, rl_xml_read
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.scan.media cimport MEDIA_JSON, MEDIA_MULTIPART, media_looks
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.fields cimport add_argument, add_arguments, digits, field_add, joined
from ratelimitd._ext.waf.layout cimport WAF_BUDGET_FACTOR, waf_fields, waf_scratch

cdef enum:
    NAMES_BYTES = 65536       # of a JSON body's arguments, beyond eight times its size
    XML_ATTRIBUTES = 16384
    INFLATE_RATIO = 100
    CODING_HEADERS = 8        # Content-Encoding headers that are read; with more a body counts as not decoded

cdef rl_view NOTHING = rl_view("", 0)


cdef rl_view literal(const char *text) noexcept nogil:
    return rl_view(text, <uint32_t>strlen(text))


cdef char *room_for(waf_scratch *scratch, size_t size) noexcept nogil:
    """Room in the transaction's memory, or NULL: then the body is not looked at, and the result says so."""
    cdef char *room = arena_reserve(&scratch.memory, size + 1)
    if room == NULL:
        scratch.out.error = 1
        scratch.out.inspected_all = 0
        return NULL
    arena_commit(&scratch.memory, size + 1)
    return room


cdef bint begins(rl_view text, const char *word) noexcept nogil:
    """But for ASCII case; word is lower-case."""
    cdef uint32_t i = 0
    while word[i]:
        if i == text.size or (text.data[i] + 32 if c'A' <= text.data[i] <= c'Z' else text.data[i]) != word[i]:
            return False
        i += 1
    return True


cdef rl_view header_of(const rl_pair *headers, uint32_t count, rl_view name) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if headers[i].name.size == name.size and memcmp(headers[i].name.data, name.data, name.size) == 0:
            return headers[i].value
    return NOTHING


cdef rl_view header(const rl_request *request, rl_view name) noexcept nogil:
    return header_of(request.headers, request.header_count, name)


cdef void body_start(waf_scratch *scratch, const rl_request *request) noexcept nogil:
    cdef rl_view type = header(request, literal("content-type"))
    if begins(type, "application/x-www-form-urlencoded"):
        scratch.processor = WAF_BODY_URLENCODED
    elif begins(type, "multipart/form-data"):
        scratch.processor = WAF_BODY_MULTIPART


cdef void failed(waf_scratch *scratch, const char *why) noexcept nogil:
    scratch.body_error = 1
    scratch.body_error_text = literal(why)


# ---- one reading each

cdef bint read_json(waf_scratch *scratch, rl_view body) noexcept nogil:
    cdef rl_json_args reader
    cdef rl_pair leaf
    cdef int status
    cdef uint32_t depth = scratch.program.json_depth
    cdef char *levels = room_for(scratch, depth * sizeof(rl_json_level))
    cdef char *buffer = room_for(scratch, rl_json_args_room(body.size, depth))
    if levels == NULL or buffer == NULL:
        return False
    rl_json_args_start(&reader, body, buffer, <rl_json_level *>levels, depth, NAMES_BYTES + 8 * <uint64_t>body.size)
    while True:
        status = rl_json_args_next(&reader, &leaf)
        if status != RL_JSON_ARGS_LEAF:
            return status == RL_JSON_ARGS_END
        add_argument(scratch, WAF_ARGS_POST, joined(scratch, leaf.name, NOTHING, NOTHING), leaf.value)


cdef void part_item(waf_scratch *scratch, int kind, const rl_form_data_item *item) noexcept nogil:
    if kind == RL_FORM_DATA_NAME:
        field_add(scratch, WAF_MULTIPART_NAME, item.value, item.value)
    elif kind == RL_FORM_DATA_FILENAME:
        field_add(scratch, WAF_MULTIPART_FILENAME, item.value, item.value)
    elif kind == RL_FORM_DATA_HEADER:
        field_add(scratch, WAF_MULTIPART_PART_HEADERS, item.name, item.value)
    elif kind == RL_FORM_DATA_FIELD:
        add_argument(scratch, WAF_ARGS_POST, item.name, item.value)
    elif kind == RL_FORM_DATA_FILE:
        field_add(scratch, WAF_FILES, item.name, item.filename)
        field_add(scratch, WAF_FILES_NAMES, item.name, item.name)
        field_add(scratch, WAF_FILES_SIZES, item.name, digits(scratch, item.content.size))
        scratch.files_size += item.content.size


cdef void take_back(waf_scratch *scratch, uint16_t source, const waf_fields *before) noexcept nogil:
    """Forgets the fields that a source has got since."""
    scratch.sources[source] = before[source]
    if before[source].last:
        scratch.fields[before[source].last - 1].next = 0


cdef bint read_multipart(waf_scratch *scratch, rl_view body, rl_view type, bint cut) noexcept nogil:
    cdef rl_form_data reader
    cdef rl_form_data_item item
    cdef waf_fields before[32]
    cdef uint32_t i
    cdef uint32_t arguments = scratch.arguments_size
    cdef int kind
    cdef char *buffer = room_for(scratch, rl_form_data_room(body.size))
    if buffer == NULL:
        return False
    for i in range(WAF_SOURCES):
        before[i] = scratch.sources[i]
    if rl_form_data_start(&reader, type, body, buffer):
        while True:
            kind = rl_form_data_next(&reader, &item)
            if kind == RL_FORM_DATA_END:
                break
            part_item(scratch, kind, &item)
        if not reader.complete and not cut:
            take_back(scratch, WAF_ARGS_POST, before)
            take_back(scratch, WAF_FILES, before)
            take_back(scratch, WAF_FILES_NAMES, before)
            take_back(scratch, WAF_FILES_SIZES, before)
            scratch.arguments_size = arguments
            scratch.files_size = 0
    scratch.multipart = reader.flags
    scratch.unmatched_boundary = reader.unmatched_boundary
    if reader.error != NULL:
        failed(scratch, reader.error)
        return False
    return True


cdef bint read_xml(waf_scratch *scratch, rl_view body) noexcept nogil:
    cdef rl_xml reader
    cdef uint32_t i
    cdef int status
    reader.text_room = reader.values_room = body.size + 1024
    reader.attributes_room = min(<uint32_t>XML_ATTRIBUTES, body.size // 4 + 1)
    reader.arguments_room = 0
    reader.arguments = NULL
    reader.text = room_for(scratch, reader.text_room)
    reader.values = room_for(scratch, reader.values_room)
    reader.attributes = <rl_view *>room_for(scratch, reader.attributes_room * sizeof(rl_view))
    if reader.text == NULL or reader.values == NULL or reader.attributes == NULL:
        return False
    status = rl_xml_read(&reader, body)
    if reader.has_root:
        field_add(scratch, WAF_XML_TEXT, NOTHING, rl_view(reader.text, reader.text_size))
    for i in range(reader.attributes_count):
        field_add(scratch, WAF_XML_ATTRIBUTES, NOTHING, reader.attributes[i])
    return status == RL_XML_OK


cdef rl_view boundary_type(waf_scratch *scratch, rl_view boundary) noexcept nogil:
    return joined(scratch, literal("multipart/form-data; boundary="), boundary, NOTHING)


cdef void read_by_looks(waf_scratch *scratch, rl_view body, bint cut) noexcept nogil:
    """What another server might make of the body, whatever its content type says."""
    cdef rl_view boundary
    cdef uint32_t looks = media_looks(body, &boundary)
    cdef uint8_t error = scratch.body_error
    cdef rl_view text = scratch.body_error_text
    if looks == MEDIA_JSON and scratch.processor != WAF_BODY_JSON:
        read_json(scratch, body)
    elif looks == MEDIA_MULTIPART and scratch.processor != WAF_BODY_MULTIPART:
        read_multipart(scratch, body, boundary_type(scratch, boundary), True)
        scratch.multipart = scratch.unmatched_boundary = 0
    elif looks == 0 and scratch.processor == WAF_BODY_NONE and header(scratch.request, literal("content-type")).size == 0:
        add_arguments(scratch, WAF_ARGS_POST, body)
    scratch.body_error = error
    scratch.body_error_text = text


# ---- the body

cdef rl_view codings(waf_scratch *scratch, const rl_pair *headers, uint32_t count) noexcept nogil:
    """Content-Encoding, of several headers one behind the other: whoever reads the body takes all of them for one list."""
    cdef rl_view name = literal("content-encoding")
    cdef rl_view found = NOTHING
    cdef uint32_t taken = 0
    cdef uint32_t i
    for i in range(count):
        if headers[i].name.size != name.size or memcmp(headers[i].name.data, name.data, name.size) != 0:
            continue
        found = joined(scratch, found, literal(","), headers[i].value) if taken else headers[i].value
        taken += 1
        if taken > CODING_HEADERS:
            return literal("too many")
    return found


cdef bint body_decoded(waf_scratch *scratch, const rl_pair *headers, uint32_t count, uint32_t body_limit, rl_view *body) noexcept nogil:
    cdef rl_view coding = codings(scratch, headers, count)
    cdef rl_inflate_limits limits
    cdef char *buffer
    cdef size_t room
    cdef bint whole
    if coding.size == 0:
        return True
    limits.size = <uint32_t>min(<uint64_t>body_limit, max(<uint64_t>RL_INFLATE_FREE_BYTES, <uint64_t>INFLATE_RATIO * body.size))
    limits.ratio = INFLATE_RATIO
    room = rl_inflate_room(limits.size)
    scratch.memory.budget += room
    buffer = room_for(scratch, room)
    if buffer == NULL:
        return False
    whole = rl_inflate(scratch.inflater, coding, body[0], &limits, buffer, body) == RL_INFLATE_OK
    # The transaction has so many bytes more than it came with.
    scratch.memory.budget += WAF_BUDGET_FACTOR * <size_t>body.size
    return whole


cdef void read_declared(waf_scratch *scratch, const rl_request *request, rl_view body, bint cut) noexcept nogil:
    if scratch.processor == WAF_BODY_URLENCODED:
        add_arguments(scratch, WAF_ARGS_POST, body)
    elif scratch.processor == WAF_BODY_MULTIPART:
        read_multipart(scratch, body, header(request, literal("content-type")), cut)
    elif scratch.processor == WAF_BODY_JSON:
        if not read_json(scratch, body):
            failed(scratch, "JSON parsing error")
    elif scratch.processor == WAF_BODY_XML:
        if not read_xml(scratch, body):
            failed(scratch, "XML parsing error")


cdef void body_read(waf_scratch *scratch, const rl_request *request, uint32_t body_limit) noexcept nogil:
    cdef rl_view body = request.body
    cdef bint cut = body.size > body_limit or request.partial_body
    if not scratch.body_access or body.size == 0:
        return
    if cut:
        scratch.out.inspected_all = 0
    if body.size > body_limit:
        body.size = body_limit
    scratch.body_size = body.size
    scratch.out.bytes_inspected = body.size
    if not body_decoded(scratch, request.headers, request.header_count, body_limit, &body):
        scratch.out.inspected_all = 0
        failed(scratch, "Content-Encoding cannot be decoded")
    # As ModSecurity documents it: a body that is read as fields is not there a second time as it came. An XML body is, if
    # it is asked for: its declarations are no fields.
    if scratch.processor == WAF_BODY_URLENCODED or scratch.force_body and scratch.processor in (WAF_BODY_NONE, WAF_BODY_XML):
        field_add(scratch, WAF_REQUEST_BODY, NOTHING, body)
    if scratch.program.sources[WAF_RAW_BODY].read:
        field_add(scratch, WAF_RAW_BODY, NOTHING, body)
    read_declared(scratch, request, body, cut)
    if scratch.program.every_reading:
        read_by_looks(scratch, body, cut)
