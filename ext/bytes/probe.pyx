"""The functions of bytes/ for tests. Inputs and outputs live in heap blocks of exactly their size, so that a sanitizer sees every
byte read or written beyond them."""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ratelimitd._ext.bytes.address cimport (
    rl_address, rl_address_format, rl_address_is_ipv4, rl_address_mask, rl_address_parse, rl_network, rl_network_contains,
)
from ratelimitd._ext.bytes.form_data cimport (
    RL_FORM_DATA_BOUNDARY_QUOTED, RL_FORM_DATA_BOUNDARY_WHITESPACE, RL_FORM_DATA_CRLF_LINE, RL_FORM_DATA_DATA_AFTER,
    RL_FORM_DATA_DATA_BEFORE, RL_FORM_DATA_END, RL_FORM_DATA_FIELD, RL_FORM_DATA_FILE, RL_FORM_DATA_FILENAME,
    RL_FORM_DATA_HEADER, RL_FORM_DATA_HEADER_FOLDING, RL_FORM_DATA_INVALID_HEADER_FOLDING, RL_FORM_DATA_INVALID_PART,
    RL_FORM_DATA_INVALID_QUOTING, RL_FORM_DATA_LF_LINE, RL_FORM_DATA_NAME, RL_FORM_DATA_SEMICOLON_MISSING,
    RL_FORM_DATA_STRICT_ERROR, rl_form_data, rl_form_data_item, rl_form_data_next, rl_form_data_room,
    rl_form_data_start,
)
from ratelimitd._ext.bytes.inflate cimport (
    rl_inflate, rl_inflate_limits, rl_inflate_room, rl_inflater, rl_inflater_free, rl_inflater_new,
)
from ratelimitd._ext.bytes.json_args cimport (
    RL_JSON_ARGS_LEAF, rl_json_args, rl_json_args_next, rl_json_args_room, rl_json_args_start, rl_json_level,
)
from ratelimitd._ext.bytes.pairs cimport rl_pairs_cookie, rl_pairs_decode, rl_pairs_next
from ratelimitd._ext.bytes.query cimport (
    rl_cookie_next, rl_path_normalize, rl_query_next, rl_target_split, rl_url_decode,
)
from ratelimitd._ext.core cimport rl_pair, rl_view
from ratelimitd._ext.bytes.transform cimport (
    RL_TRANSFORMATIONS, rl_byte_classes, rl_transform, rl_transform_classes, rl_transform_room,
)
from ratelimitd._ext.bytes.uri cimport rl_uri, rl_uri_read
from ratelimitd._ext.bytes.xml cimport rl_xml, rl_xml_read


cdef rl_view owned(bytes text) except *:
    cdef rl_view view
    cdef char *data = <char *>malloc(len(text))
    if data == NULL and len(text):
        raise MemoryError
    memcpy(data, <const char *>text, len(text))
    view.data = data
    view.size = <uint32_t>len(text)
    return view


cdef bytes taken(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef rl_address address_of(bytes packed) except *:
    cdef rl_address address
    if len(packed) != 16:
        raise ValueError("an address has 16 bytes")
    memcpy(address.bytes, <const char *>packed, 16)
    return address


def address_parse(bytes text) -> bytes | None:
    cdef rl_address address
    cdef rl_view view = owned(text)
    cdef int good = rl_address_parse(view, &address)
    free(<void *>view.data)
    return (<char *>address.bytes)[:16] if good else None


def address_format(bytes packed) -> bytes:
    cdef rl_address address = address_of(packed)
    cdef char *out = <char *>malloc(46)
    cdef uint32_t size = rl_address_format(&address, out)
    try:
        return out[:size]
    finally:
        free(out)


def address_mask(bytes packed, uint8_t prefix) -> bytes:
    cdef rl_address address = address_of(packed)
    rl_address_mask(&address, prefix)
    return (<char *>address.bytes)[:16]


def address_is_ipv4(bytes packed) -> bool:
    cdef rl_address address = address_of(packed)
    return bool(rl_address_is_ipv4(&address))


def network_contains(bytes packed_network, uint8_t prefix, bytes packed) -> bool:
    cdef rl_network network
    cdef rl_address address = address_of(packed)
    network.address = address_of(packed_network)
    network.prefix = prefix
    return bool(rl_network_contains(&network, &address))


def query_pairs(bytes text) -> list[tuple[bytes, bytes]]:
    cdef rl_view view = owned(text)
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    pairs = []
    while rl_query_next(view, &cursor, &pair):
        pairs.append((taken(pair.name), taken(pair.value)))
    free(<void *>view.data)
    return pairs


def cookie_pairs(bytes text) -> list[tuple[bytes, bytes]]:
    cdef rl_view view = owned(text)
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    pairs = []
    while rl_cookie_next(view, &cursor, &pair):
        pairs.append((taken(pair.name), taken(pair.value)))
    free(<void *>view.data)
    return pairs


def url_decode(bytes text) -> bytes:
    cdef rl_view view = owned(text)
    cdef char *out = <char *>malloc(len(text))
    cdef uint32_t size = rl_url_decode(view, out)
    try:
        return out[:size] if size else b""
    finally:
        free(out)
        free(<void *>view.data)


def target_split(bytes text) -> tuple[bytes, bytes]:
    cdef rl_view view = owned(text)
    cdef rl_view path
    cdef rl_view query
    rl_target_split(view, &path, &query)
    try:
        return taken(path), taken(query)
    finally:
        free(<void *>view.data)


def path_normalize(bytes text) -> bytes:
    cdef rl_view view = owned(text)
    cdef char *out = <char *>malloc(len(text) + 1)
    cdef uint32_t size = rl_path_normalize(view, out)
    try:
        return out[:size]
    finally:
        free(out)
        free(<void *>view.data)


def transform(int kind, bytes text) -> bytes | None:
    """The transformed bytes, or None when nothing changed."""
    if not 0 <= kind < RL_TRANSFORMATIONS:
        raise ValueError("no such transformation")
    cdef rl_view view = owned(text)
    cdef char *out = <char *>malloc(rl_transform_room(kind, view.size))
    cdef uint32_t size = 0
    cdef int changed = rl_transform(kind, view, rl_byte_classes(view), out, &size)
    try:
        if size > rl_transform_room(kind, view.size):
            raise AssertionError("out of room")
        return out[:size] if changed else None
    finally:
        free(out)
        free(<void *>view.data)


def byte_classes(bytes text) -> int:
    cdef rl_view view = owned(text)
    cdef uint32_t classes = rl_byte_classes(view)
    free(<void *>view.data)
    return classes


def transform_classes(int kind) -> int:
    return rl_transform_classes(kind)


def uri_read(bytes target) -> dict[str, bytes]:
    cdef rl_view view = owned(target)
    cdef char *buffer = <char *>malloc(len(target))
    cdef rl_uri uri
    rl_uri_read(view, buffer, &uri)
    try:
        return {"uri": taken(uri.uri), "filename": taken(uri.filename), "basename": taken(uri.basename),
                "query": taken(uri.query)}
    finally:
        free(buffer)
        free(<void *>view.data)


cdef bytes decoded(rl_view raw, int *invalid):
    cdef rl_view text = owned(taken(raw))
    cdef char *out = <char *>malloc(raw.size)
    cdef rl_view value = rl_pairs_decode(text, out, invalid)
    try:
        return taken(value)
    finally:
        free(out)
        free(<void *>text.data)


def pairs(bytes text, bytes separator=b"&") -> tuple[list[tuple[bytes, bytes]], bool]:
    """The decoded arguments, and whether an escape in a value was broken."""
    cdef rl_view view = owned(text)
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    cdef int invalid = 0
    arguments = []
    while rl_pairs_next(view, separator[0], &cursor, &pair):
        arguments.append((decoded(pair.name, NULL), decoded(pair.value, &invalid)))
    free(<void *>view.data)
    return arguments, bool(invalid)


def pairs_cookies(bytes header) -> list[tuple[bytes, bytes]]:
    cdef rl_view view = owned(header)
    cdef uint32_t cursor = 0
    cdef rl_pair pair
    cookies = []
    while rl_pairs_cookie(view, &cursor, &pair):
        cookies.append((taken(pair.name), taken(pair.value)))
    free(<void *>view.data)
    return cookies


def json_args(bytes text, uint32_t depth_limit=512, name_limit=1 << 30) -> tuple[list[tuple[bytes, bytes]], int]:
    """The arguments and the status that ended the reading (0 or an error)."""
    cdef rl_view view = owned(text)
    cdef char *buffer = <char *>malloc(rl_json_args_room(view.size, depth_limit))
    cdef rl_json_level *levels = <rl_json_level *>malloc(depth_limit * sizeof(rl_json_level))
    cdef rl_json_args reader
    cdef rl_pair leaf
    arguments = []
    rl_json_args_start(&reader, view, buffer, levels, depth_limit, name_limit)
    while True:
        status = rl_json_args_next(&reader, &leaf)
        if status != RL_JSON_ARGS_LEAF:
            break
        arguments.append((taken(leaf.name), taken(leaf.value)))
    if rl_json_args_next(&reader, &leaf) != status:
        raise AssertionError("the end is not the end")
    free(levels)
    free(buffer)
    free(<void *>view.data)
    return arguments, status


cdef dict[str, int] FORM_DATA_FLAGS = {
    "BOUNDARY_QUOTED": RL_FORM_DATA_BOUNDARY_QUOTED,
    "BOUNDARY_WHITESPACE": RL_FORM_DATA_BOUNDARY_WHITESPACE,
    "DATA_BEFORE": RL_FORM_DATA_DATA_BEFORE,
    "DATA_AFTER": RL_FORM_DATA_DATA_AFTER,
    "HEADER_FOLDING": RL_FORM_DATA_HEADER_FOLDING,
    "LF_LINE": RL_FORM_DATA_LF_LINE,
    "SEMICOLON_MISSING": RL_FORM_DATA_SEMICOLON_MISSING,
    "INVALID_QUOTING": RL_FORM_DATA_INVALID_QUOTING,
    "INVALID_PART": RL_FORM_DATA_INVALID_PART,
    "INVALID_HEADER_FOLDING": RL_FORM_DATA_INVALID_HEADER_FOLDING,
    "STRICT_ERROR": RL_FORM_DATA_STRICT_ERROR,
}
cdef dict[int, str] FORM_DATA_KINDS = {
    RL_FORM_DATA_NAME: "name", RL_FORM_DATA_FILENAME: "filename", RL_FORM_DATA_HEADER: "header",
    RL_FORM_DATA_FIELD: "field", RL_FORM_DATA_FILE: "file",
}


def form_data(bytes content_type, bytes body) -> tuple[list[dict[str, object]], dict[str, int], bytes | None, bool]:
    """The items, the flags by their names behind MULTIPART_, the error, and whether the closing boundary came."""
    cdef rl_view type_view = owned(content_type)
    cdef rl_view view = owned(body)
    cdef char *buffer = <char *>malloc(rl_form_data_room(view.size))
    cdef rl_form_data reader
    cdef rl_form_data_item item
    items = []
    readable = rl_form_data_start(&reader, type_view, view, buffer)
    free(<void *>type_view.data)
    while True:
        kind = rl_form_data_next(&reader, &item)
        if kind == RL_FORM_DATA_END:
            break
        items.append({"kind": FORM_DATA_KINDS[kind], "name": taken(item.name), "value": taken(item.value),
                      "filename": taken(item.filename), "content": taken(item.content)})
    if items and not readable:
        raise AssertionError("items of an unreadable body")
    flags = {name: int(reader.flags & bits != 0) for name, bits in FORM_DATA_FLAGS.items()}
    flags["CRLF_LF_LINES"] = int(flags["LF_LINE"] and reader.flags & RL_FORM_DATA_CRLF_LINE != 0)
    flags["UNMATCHED_BOUNDARY"] = reader.unmatched_boundary
    free(buffer)
    free(<void *>view.data)
    return items, flags, reader.error if reader.error != NULL else None, bool(reader.complete)


cdef class Inflater:
    """A thread's decoders."""
    cdef rl_inflater *inflater

    def __cinit__(self) -> None:
        self.inflater = rl_inflater_new()
        if self.inflater == NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        rl_inflater_free(self.inflater)

    def read(self, bytes content_encoding, bytes body, uint32_t size=1 << 20, uint32_t ratio=100) -> tuple[int, bytes]:
        cdef rl_view encoding = owned(content_encoding)
        cdef rl_view view = owned(body)
        cdef char *buffer = <char *>malloc(rl_inflate_room(size))
        cdef rl_inflate_limits limits
        cdef rl_view out
        limits.size = size
        limits.ratio = ratio
        status = rl_inflate(self.inflater, encoding, view, &limits, buffer, &out)
        try:
            return status, taken(out)
        finally:
            free(buffer)
            free(<void *>view.data)
            free(<void *>encoding.data)


def xml(bytes body, uint32_t room=1 << 16, uint32_t count=1000) -> dict[str, object]:
    """The status, the text of the root element (None without one), attribute values and arguments."""
    cdef rl_view view = owned(body)
    cdef rl_xml reader
    reader.text = <char *>malloc(room)
    reader.values = <char *>malloc(room)
    reader.text_room = reader.values_room = room
    reader.attributes = <rl_view *>malloc(count * sizeof(rl_view))
    reader.arguments = <rl_pair *>malloc(count * sizeof(rl_pair))
    reader.attributes_room = reader.arguments_room = count
    status = rl_xml_read(&reader, view)
    try:
        return {
            "status": status,
            "text": reader.text[:reader.text_size] if reader.has_root else None,
            "attributes": [taken(reader.attributes[i]) for i in range(reader.attributes_count)],
            "arguments": [(taken(reader.arguments[i].name), taken(reader.arguments[i].value))
                          for i in range(reader.arguments_count)],
        }
    finally:
        free(reader.text)
        free(reader.values)
        free(reader.attributes)
        free(reader.arguments)
        free(<void *>view.data)
