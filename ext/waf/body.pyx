from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, strlen

from ratelimitd._ext.bytes.form_data cimport (
    RL_FORM_DATA_END, RL_FORM_DATA_FIELD, RL_FORM_DATA_FILE, RL_FORM_DATA_FILENAME, RL_FORM_DATA_HEADER, RL_FORM_DATA_NAME, rl_form_data,
    rl_form_data_item, rl_form_data_next, rl_form_data_room, rl_form_data_start,
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


cdef uint8_t processor_of(rl_view type) noexcept nogil:
    if begins(type, "application/x-www-form-urlencoded"):
        return WAF_BODY_URLENCODED
    return WAF_BODY_MULTIPART if begins(type, "multipart/form-data") else WAF_BODY_NONE


cdef bint is_type(const rl_pair *header) noexcept nogil:
    return header.name.size == 12 and memcmp(header.name.data, "content-type", 12) == 0


cdef void body_start(waf_scratch *scratch, const rl_request *request) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t processor
    for i in range(request.header_count):
        if is_type(&request.headers[i]):
            processor = processor_of(request.headers[i].value)
            if processor != WAF_BODY_NONE:
                scratch.processor = processor


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
        if not add_argument(scratch, WAF_ARGS_POST, joined(scratch, leaf.name, NOTHING, NOTHING), leaf.value):
            return False


cdef void part_item(waf_scratch *scratch, int kind, const rl_form_data_item *item) noexcept nogil:
    if kind == RL_FORM_DATA_NAME:
        field_add(scratch, WAF_MULTIPART_NAME, item.value, item.value)
    elif kind == RL_FORM_DATA_FILENAME:
        field_add(scratch, WAF_MULTIPART_FILENAME, item.value, item.value)
    elif kind == RL_FORM_DATA_HEADER:
        field_add(scratch, WAF_MULTIPART_PART_HEADERS, item.name, item.value)
    elif kind == RL_FORM_DATA_FIELD:
        add_argument(scratch, WAF_ARGS_POST, item.name, item.value)
        # ModSecurity leaves line ends out of the value; a server does not.
        if scratch.program.every_reading and item.content.size != item.value.size:
            add_argument(scratch, WAF_ARGS_POST, item.name, item.content)
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
    cdef uint32_t arguments = scratch.argument_count
    cdef uint32_t arguments_size = scratch.arguments_size
    cdef int kind
    cdef char *buffer = room_for(scratch, rl_form_data_room(body.size))
    if buffer == NULL:
        return False
    for i in range(WAF_SOURCES):
        before[i] = scratch.sources[i]
    if not rl_form_data_start(&reader, type, body, buffer):
        if reader.error == NULL:   # ModSecurity then reads nothing and says nothing
            reader.error = "Multipart: Empty boundary."
    else:
        while True:
            kind = rl_form_data_next(&reader, &item)
            if kind == RL_FORM_DATA_END:
                break
            part_item(scratch, kind, &item)
        # Without the closing boundary ModSecurity forgets what it has read; PHP does not.
        if not reader.complete and not cut and not scratch.program.every_reading:
            take_back(scratch, WAF_ARGS_POST, before)
            take_back(scratch, WAF_FILES, before)
            take_back(scratch, WAF_FILES_NAMES, before)
            take_back(scratch, WAF_FILES_SIZES, before)
            scratch.argument_count = arguments
            scratch.arguments_size = arguments_size
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


# ---- several readings

cdef rl_view boundary_type(waf_scratch *scratch, rl_view boundary) noexcept nogil:
    return joined(scratch, literal("multipart/form-data; boundary="), boundary, NOTHING)


cdef void read_by_looks(waf_scratch *scratch, rl_view body, bint cut, bint understood) noexcept nogil:
    """What another server might make of the body, whatever its content type says. understood: so it was read, without an error."""
    cdef rl_view boundary
    cdef uint32_t looks = media_looks(body, &boundary)
    cdef uint8_t processor = scratch.processor
    if looks == MEDIA_JSON and processor != WAF_BODY_JSON:
        read_json(scratch, body)
    elif looks == MEDIA_MULTIPART and (processor != WAF_BODY_MULTIPART or not understood):
        read_multipart(scratch, body, boundary_type(scratch, boundary), True)
    elif not understood or processor == WAF_BODY_NONE and header(scratch.request, literal("content-type")).size == 0:
        add_arguments(scratch, WAF_ARGS_POST, body)


cdef void read_by_types(waf_scratch *scratch, const rl_request *request, rl_view body, bint cut) noexcept nogil:
    """By the content types that did not win, when there are several."""
    cdef rl_view first = header(request, literal("content-type"))
    cdef rl_view type
    cdef uint8_t processor
    cdef uint32_t i
    for i in range(request.header_count):
        if not is_type(&request.headers[i]):
            continue
        type = request.headers[i].value
        processor = processor_of(type)
        if processor == WAF_BODY_URLENCODED and scratch.processor != WAF_BODY_URLENCODED:
            add_arguments(scratch, WAF_ARGS_POST, body)
        elif processor == WAF_BODY_MULTIPART and (scratch.processor != WAF_BODY_MULTIPART or type.data != first.data):
            read_multipart(scratch, body, type, cut)


cdef bint read_declared(waf_scratch *scratch, const rl_request *request, rl_view body, bint cut) noexcept nogil:
    """0: what the body is said to be it is not."""
    if scratch.processor == WAF_BODY_URLENCODED:
        add_arguments(scratch, WAF_ARGS_POST, body)
    elif scratch.processor == WAF_BODY_MULTIPART:
        return read_multipart(scratch, body, header(request, literal("content-type")), cut)
    elif scratch.processor == WAF_BODY_JSON and not read_json(scratch, body):
        failed(scratch, "JSON parsing error")
        return False
    elif scratch.processor == WAF_BODY_XML and not read_xml(scratch, body):
        failed(scratch, "XML parsing error")
        return False
    return True


cdef bint raw_body(const waf_scratch *scratch) noexcept nogil:
    """Is the body there as it came, too? ModSecurity 2 says: of forms alone, unless it is forced. The Core Rule Set wants it of JSON as well
    (934210), and not of XML (944100 and others); of multipart bodies it would only tell a second time what the parts tell. A body that nothing
    else reads is always there when nothing may go by unseen."""
    if scratch.processor == WAF_BODY_NONE:
        return scratch.force_body or scratch.program.every_reading
    if scratch.processor == WAF_BODY_XML:
        return scratch.force_body    # its declarations are no fields
    return scratch.processor == WAF_BODY_URLENCODED or scratch.processor == WAF_BODY_JSON


cdef void read_all(waf_scratch *scratch, const rl_request *request, rl_view body, bint cut) noexcept nogil:
    cdef bint understood
    cdef uint8_t error
    cdef rl_view text
    cdef uint32_t multipart
    cdef uint8_t unmatched
    if raw_body(scratch):
        field_add(scratch, WAF_REQUEST_BODY, NOTHING, body)
    if scratch.program.sources[WAF_RAW_BODY].read:
        field_add(scratch, WAF_RAW_BODY, NOTHING, body)
    understood = read_declared(scratch, request, body, cut)
    if not scratch.program.every_reading:
        return
    error = scratch.body_error
    text = scratch.body_error_text
    multipart = scratch.multipart
    unmatched = scratch.unmatched_boundary
    read_by_looks(scratch, body, cut, understood)
    read_by_types(scratch, request, body, cut)
    scratch.body_error = error
    scratch.body_error_text = text
    scratch.multipart = multipart
    scratch.unmatched_boundary = unmatched


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


cdef void read_decoded(waf_scratch *scratch, const rl_request *request, uint32_t body_limit, rl_view raw, bint cut) noexcept nogil:
    """The body without its content codings; and as it came, for who does not know them."""
    cdef rl_view body = raw
    cdef uint8_t error
    cdef rl_view text
    cdef bint whole = body_decoded(scratch, request.headers, request.header_count, body_limit, &body)
    if whole and body.data == raw.data:
        read_all(scratch, request, raw, cut)    # no coding
        return
    if whole or body.size:
        read_all(scratch, request, body, cut or not whole)
    if not whole:
        scratch.out.inspected_all = 0
        failed(scratch, "Content-Encoding cannot be decoded")
    elif not scratch.program.every_reading:
        return
    error = scratch.body_error
    text = scratch.body_error_text
    read_all(scratch, request, raw, cut)
    scratch.body_error = error
    scratch.body_error_text = text


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
    read_decoded(scratch, request, body_limit, body, cut)
