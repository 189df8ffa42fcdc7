"""The codecs of wire/ as functions on bytes and dicts, for tests only.

Requests come back as dicts of bytes and ints; verdicts go in as dicts with the names of rl_verdict. A DecodeError is raised as
ValueError. Input lies in a heap block of exactly its size, so that a sanitizer sees every byte read beyond it.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from libcpp cimport bool as boolean
from libcpp.memory cimport unique_ptr

from ratelimitd._ext.core cimport (
    RL_MAX_MATCHES,
    RL_MAX_STATES,
    rl_descriptor_call,
    rl_limit_state,
    rl_pair,
    rl_request,
    rl_response,
    rl_rule_match,
    rl_verdict,
    rl_view,
)


cdef extern from "wire/buffer.h" namespace "rl" nogil:
    cdef cppclass Buffer:
        const char *data()
        size_t size()


cdef extern from "wire/messages.h" namespace "rl" nogil:
    cdef cppclass RequestArena:
        pass

    const char *decode_envoy_check(rl_view bytes, RequestArena *arena, rl_request *out)
    void encode_envoy_check(const rl_verdict &verdict, bint metadata, Buffer *out)
    const char *decode_check(rl_view bytes, RequestArena *arena, rl_request *out)
    void encode_check(const rl_verdict &verdict, Buffer *out)
    int next_batch_request(rl_view bytes, size_t *cursor, rl_view *out, const char **error)
    void append_batch_response(const rl_verdict &verdict, Buffer *out)
    const char *decode_inspect_response(rl_view bytes, RequestArena *arena, rl_request *request, rl_response *response, boolean *of_request)
    void encode_inspect_response(const rl_verdict &verdict, Buffer *out)
    ctypedef void (*HeaderSink)(void *context, rl_view name, rl_view value) noexcept
    void client_headers(const rl_verdict &verdict, HeaderSink sink, void *context)
    void denial_body(const rl_verdict &verdict, Buffer *out)


cdef extern from "wire/rls_messages.h" namespace "rl" nogil:
    cdef cppclass DescriptorArena:
        pass

    const char *decode_rate_limit(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out)
    const char *decode_rate_limit_json(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out)


cdef extern from "wire/metadata.h" namespace "rl" nogil:
    bint is_metadata(rl_view metadata)
    bint _find_metadata "rl::find_metadata"(rl_view metadata, rl_view name, uint32_t *steps, rl_view *value)
    size_t metadata_room(rl_view value)
    bint metadata_text(rl_view value, char *room, rl_view *out)


cdef extern from "wire/health.h" namespace "rl" nogil:
    const char *decode_health_request(rl_view bytes, rl_view *service)
    void encode_health_response(int status, Buffer *out)
    bint _health_knows "rl::health_knows"(rl_view service)


cdef extern from "wire/gzip.h" namespace "rl" nogil:
    cdef enum class Inflate:
        kOk
        kMalformed
        kTooLarge

    Inflate _gzip_inflate "rl::gzip_inflate"(rl_view in_, size_t max, Buffer *out)


cdef extern from "wire/reflection.h" namespace "rl" nogil:
    cdef cppclass Reflection:
        const char *answer(rl_view request, Buffer *out)

    unique_ptr[Reflection] reflection_new(rl_view descriptor_set)


cdef class Heap:
    """A copy of bytes in a block of exactly their size."""

    cdef rl_view view

    def __cinit__(self, bytes data):
        self.view.size = <uint32_t>len(data)
        self.view.data = <const char *>malloc(len(data) or 1)
        if self.view.data == NULL:
            raise MemoryError
        memcpy(<void *>self.view.data, <const char *>data, len(data))

    def __dealloc__(self):
        free(<void *>self.view.data)


cdef bytes to_bytes(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef bytes taken(Buffer *buffer):
    return buffer.data()[:buffer.size()] if buffer.size() else b""


cdef list pairs(const rl_pair *items, uint32_t count):
    return [(to_bytes(items[i].name), to_bytes(items[i].value)) for i in range(count)]


cdef dict request_dict(const rl_request *request):
    return {
        "domain": to_bytes(request.domain),
        "source_address": to_bytes(request.source_address),
        "method": to_bytes(request.method),
        "path": to_bytes(request.path),
        "host": to_bytes(request.host),
        "scheme": to_bytes(request.scheme),
        "protocol": to_bytes(request.protocol),
        "request_id": to_bytes(request.request_id),
        "body": to_bytes(request.body),
        "headers": pairs(request.headers, request.header_count),
        "attributes": pairs(request.attributes, request.attribute_count),
        "cost": request.cost,
        "has_body": bool(request.has_body),
        "partial_body": bool(request.partial_body),
        "dry_run": bool(request.dry_run),
        "explain": bool(request.explain),
    }


cdef dict decoded(bytes data, bint envoy):
    cdef Heap heap = Heap(data)
    cdef RequestArena *arena = new RequestArena()
    cdef rl_request request
    cdef const char *error
    try:
        error = decode_envoy_check(heap.view, arena, &request) if envoy else decode_check(heap.view, arena, &request)
        if error != NULL:
            raise ValueError(error.decode())
        return request_dict(&request)
    finally:
        del arena


def rate_limit_request(bytes data, bint json=False):
    cdef Heap heap = Heap(data)
    cdef unique_ptr[DescriptorArena] arena = unique_ptr[DescriptorArena](new DescriptorArena())
    cdef rl_descriptor_call call
    cdef const char *error
    error = decode_rate_limit_json(heap.view, arena.get(), &call) if json else decode_rate_limit(heap.view, arena.get(), &call)
    if error != NULL:
        raise ValueError((<bytes>error).decode())
    return {
        "domain": to_bytes(call.domain),
        "descriptors": [
            {
                "attributes": pairs(call.descriptors[i].attributes, call.descriptors[i].attribute_count),
                "hits": call.descriptors[i].hits,
                "address": to_bytes(call.descriptors[i].address),
                "limit": call.descriptors[i].limit,
                "window_ms": call.descriptors[i].window_ms,
                "refund": bool(call.descriptors[i].refund),
            }
            for i in range(call.count)
        ],
    }


def envoy_request(bytes data):
    return decoded(data, True)


def check_request(bytes data):
    return decoded(data, False)


def inspected_response(bytes data):
    """(the request, the response); the error of a request names it."""
    cdef Heap heap = Heap(data)
    cdef RequestArena *arena = new RequestArena()
    cdef rl_request request
    cdef rl_response response
    cdef boolean of_request
    cdef const char *error
    try:
        error = decode_inspect_response(heap.view, arena, &request, &response, &of_request)
        if error != NULL:
            raise ValueError(("request: " if of_request else "") + error.decode())
        return request_dict(&request), {
            "status": response.status,
            "headers": pairs(response.headers, response.header_count),
            "body": to_bytes(response.body),
            "partial_body": bool(response.partial_body),
        }
    finally:
        del arena


def find_metadata(bytes metadata, bytes name, uint32_t steps=65536):
    """(text or None, steps left)."""
    cdef Heap heap = Heap(metadata), named = Heap(name)
    cdef Heap room
    cdef rl_view value, text
    if not is_metadata(heap.view):
        raise ValueError("not well-formed")
    if not _find_metadata(heap.view, named.view, &steps, &value):
        return None, steps
    room = Heap(bytes(metadata_room(value)))
    return (to_bytes(text) if metadata_text(value, <char *>room.view.data, &text) else None), steps


def batch_requests(bytes data):
    """The embedded CheckRequests, serialized."""
    cdef Heap heap = Heap(data)
    cdef size_t cursor = 0
    cdef rl_view view
    cdef const char *error = NULL
    cdef int result
    found = []
    while True:
        result = next_batch_request(heap.view, &cursor, &view, &error)
        if result < 0:
            raise ValueError(error.decode())
        if result == 0:
            return found
        found.append(to_bytes(view))


cdef class Verdict:
    """An rl_verdict and the bytes that its views point to."""

    cdef rl_verdict verdict
    cdef list keep

    cdef rl_view view(self, bytes text):
        cdef rl_view view
        self.keep.append(text)
        view.data = <const char *>text
        view.size = <uint32_t>len(text)
        return view

    def __cinit__(self, dict fields):
        cdef rl_limit_state *state
        cdef rl_rule_match *match
        self.keep = []
        memset(&self.verdict, 0, sizeof(rl_verdict))
        get = fields.get
        self.verdict.decision = get("decision", 0)
        self.verdict.reason = get("reason", 0)
        self.verdict.shadow_denied = get("shadow_denied", 0)
        self.verdict.header_families = get("header_families", 0)
        self.verdict.status = get("status", 200)
        self.verdict.inspected_all = get("inspected_all", 0)
        self.verdict.deciding_state = get("deciding_state", -1)
        self.verdict.deciding_match = get("deciding_match", -1)
        self.verdict.tightest_state = get("tightest_state", -1)
        self.verdict.score = get("score", 0)
        self.verdict.retry_after_s = get("retry_after_s", 0)
        self.verdict.bytes_inspected = get("bytes_inspected", 0)
        self.verdict.reference = get("reference", 0)
        self.verdict.domain = self.view(get("domain", b""))
        self.verdict.list = self.view(get("list", b""))
        self.verdict.penalty = self.view(get("penalty", b""))
        states, matches = get("states", []), get("matches", [])
        if len(states) > RL_MAX_STATES or len(matches) > RL_MAX_MATCHES:
            raise ValueError("more than a verdict holds")
        self.verdict.state_count = <uint32_t>len(states)
        self.verdict.match_count = <uint32_t>len(matches)
        for i, fields in enumerate(states):
            state = &self.verdict.states[<size_t>i]
            state.name = self.view(fields["name"])
            state.policy_item = self.view(fields.get("policy_item", b""))
            state.limit = fields.get("limit", 0)
            state.remaining = fields.get("remaining", 0)
            state.window_ms = fields.get("window_ms", 0)
            state.reset_after_ms = fields.get("reset_after_ms", 0)
            state.over = fields.get("over", 0)
            state.shadow = fields.get("shadow", 0)
            state.unlimited = fields.get("unlimited", 0)
        for i, fields in enumerate(matches):
            match = &self.verdict.matches[<size_t>i]
            match.id = self.view(fields["id"])
            match.target = self.view(fields.get("target", b""))
            match.score = fields.get("score", 0)


def envoy_response(dict fields, bint metadata=False):
    cdef Verdict verdict = Verdict(fields)
    cdef Buffer out
    encode_envoy_check(verdict.verdict, metadata, &out)
    return taken(&out)


def check_response(dict fields):
    cdef Verdict verdict = Verdict(fields)
    cdef Buffer out
    encode_check(verdict.verdict, &out)
    return taken(&out)


def inspect_response(dict fields):
    cdef Verdict verdict = Verdict(fields)
    cdef Buffer out
    encode_inspect_response(verdict.verdict, &out)
    return taken(&out)


def batch_response(list verdicts):
    cdef Verdict verdict
    cdef Buffer out
    for fields in verdicts:
        verdict = Verdict(fields)
        append_batch_response(verdict.verdict, &out)
    return taken(&out)


cdef void collect(void *context, rl_view name, rl_view value) noexcept with gil:
    (<list>context).append((to_bytes(name), to_bytes(value)))


def headers(dict fields):
    cdef Verdict verdict = Verdict(fields)
    found = []
    client_headers(verdict.verdict, collect, <void *>found)
    return found


def body(dict fields):
    cdef Verdict verdict = Verdict(fields)
    cdef Buffer out
    denial_body(verdict.verdict, &out)
    return taken(&out)


def health_request(bytes data):
    cdef Heap heap = Heap(data)
    cdef rl_view service
    cdef const char *error = decode_health_request(heap.view, &service)
    if error != NULL:
        raise ValueError(error.decode())
    return to_bytes(service)


def health_response(int status):
    cdef Buffer out
    encode_health_response(status, &out)
    return taken(&out)


def health_knows(bytes service):
    cdef Heap heap = Heap(service)
    return _health_knows(heap.view)


def gzip_inflate(bytes data, size_t max):
    """("ok" | "malformed" | "too_large", what came out)."""
    cdef Heap heap = Heap(data)
    cdef Buffer out
    cdef Inflate result = _gzip_inflate(heap.view, max, &out)
    name = "ok" if result == Inflate.kOk else "malformed" if result == Inflate.kMalformed else "too_large"
    return name, taken(&out)


cdef class ReflectionServer:
    cdef unique_ptr[Reflection] reflection

    def __cinit__(self, bytes descriptor_set):
        cdef Heap heap = Heap(descriptor_set)
        self.reflection = reflection_new(heap.view)
        if self.reflection.get() == NULL:
            raise ValueError("not a FileDescriptorSet")

    def answer(self, bytes request):
        cdef Heap heap = Heap(request)
        cdef Buffer out
        cdef const char *error = self.reflection.get().answer(heap.view, &out)
        if error != NULL:
            raise ValueError(error.decode())
        return taken(&out)
