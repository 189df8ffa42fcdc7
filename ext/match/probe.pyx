"""The functions of match/ for tests, over policy/plan.py and policy/request.py. Every text of a request lies in a heap block of exactly
its size (an empty one is NULL), so that a sanitizer sees every byte read beyond it."""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from libcpp cimport bool as cpp_bool
from libcpp.string cimport string
from libcpp.vector cimport vector

from ratelimitd._ext.bytes.address cimport rl_address, rl_network
from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.match.attributes cimport (
    rl_attributes, rl_attributes_client, rl_attributes_free, rl_attributes_get, rl_attributes_new, rl_attributes_reset, rl_client_rule,
)
from ratelimitd._ext.match.matcher cimport (
    rl_condition, rl_match_scratch, rl_match_scratch_free, rl_match_scratch_new, rl_match_scratch_prepare, rl_matcher,
    rl_matcher_alternative, rl_matcher_condition, rl_matcher_dump, rl_matcher_entry, rl_matcher_finish, rl_matcher_free, rl_matcher_new,
    rl_matcher_param, rl_matcher_run, rl_overrides, rl_overrides_add_exact, rl_overrides_add_glob, rl_overrides_add_network,
    rl_overrides_find, rl_overrides_finish, rl_overrides_free, rl_overrides_new,
)

import time


cdef extern from "match/set.h" namespace "rl" nogil:
    uint32_t run_all(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids, uint32_t max)


cdef extern from "match/glob.h" namespace "rl" nogil:
    cdef cppclass Glob:
        vector[string] names

    ctypedef struct GlobCaptures:
        uint32_t *begin
        uint32_t *end
        uint64_t steps

    const char *glob_compile(rl_view pattern, cpp_bool path, cpp_bool folded, Glob *out) except +
    cpp_bool glob_match(const Glob &glob, rl_view text, GlobCaptures *captures)


cdef bytes taken(rl_view view):
    return view.data[:view.size] if view.size else b""


cdef class Memory:
    """Blocks that live as long as their owner."""

    cdef list _blocks

    def __cinit__(self):
        self._blocks = []

    cdef void *take(self, size_t size) except NULL:
        cdef void *block = malloc(size or 1)
        if block == NULL:
            raise MemoryError
        memset(block, 0, size)
        self._blocks.append(<size_t>block)
        return block

    cdef rl_view text(self, bytes text) except *:
        cdef rl_view view
        view.data = NULL
        view.size = <uint32_t>len(text)
        if not text:
            return view
        view.data = <const char *>self.take(len(text))
        memcpy(<void *>view.data, <const char *>text, len(text))
        return view

    cdef rl_pair *pairs(self, list pairs) except NULL:
        cdef rl_pair *out = <rl_pair *>self.take(len(pairs) * sizeof(rl_pair))
        for i, (name, value) in enumerate(pairs):
            out[i].name = self.text(name)
            out[i].value = self.text(value)
        return out

    cdef rl_network *networks(self, object cidrs) except NULL:
        cdef rl_network *out = <rl_network *>self.take(len(cidrs) * sizeof(rl_network))
        for i, cidr in enumerate(cidrs):
            memcpy(out[i].address.bytes, <const char *>(<bytes>cidr.address), 16)
            out[i].prefix = cidr.prefix
        return out

    def __dealloc__(self):
        for block in self._blocks:
            free(<void *><size_t>block)


cdef class Attributes:
    """rl_attributes, set to one request at a time."""

    cdef rl_attributes *_data
    cdef rl_request _request
    cdef rl_client_rule _client
    cdef Memory _memory

    def __cinit__(self):
        self._data = rl_attributes_new()

    def __dealloc__(self):
        rl_attributes_free(self._data)

    def reset(self, request, client, bytes metadata=b"") -> None:
        memory = Memory()
        memset(&self._request, 0, sizeof(rl_request))
        self._request.method = memory.text(request.method)
        self._request.path = memory.text(request.path)
        self._request.host = memory.text(request.host)
        self._request.scheme = memory.text(request.scheme)
        self._request.source_address = memory.text(request.source_address)
        self._request.headers = memory.pairs(list(request.headers))
        self._request.header_count = len(request.headers)
        self._request.attributes = memory.pairs(list(request.attributes))
        self._request.attribute_count = len(request.attributes)
        self._request.metadata = memory.text(metadata)
        self._client.trusted = memory.networks(client.trusted)
        self._client.trusted_count = len(client.trusted)
        self._client.hops = client.hops
        self._client.header = memory.text(client.header)
        self._client.ipv4_prefix = client.ipv4_prefix
        self._client.ipv6_prefix = client.ipv6_prefix
        rl_attributes_reset(self._data, &self._request, &self._client)
        self._memory = memory

    def get(self, int source, bytes name=b"") -> bytes | None:
        cdef rl_view out
        cdef rl_view view = self._memory.text(name)
        return taken(out) if rl_attributes_get(self._data, source, view, &out) else None

    def where(self, int source, bytes name=b"") -> int:
        """The address of the value."""
        cdef rl_view out
        cdef rl_view view = self._memory.text(name)
        return <size_t>out.data if rl_attributes_get(self._data, source, view, &out) else 0

    def client(self) -> bytes | None:
        cdef rl_address address
        return (<char *>address.bytes)[:16] if rl_attributes_client(self._data, &address) else None


cdef class Scratch:
    cdef rl_match_scratch *_data

    def __cinit__(self):
        self._data = rl_match_scratch_new()

    def __dealloc__(self):
        rl_match_scratch_free(self._data)


cdef class Matcher:
    """rl_matcher over a sequence of plan.Match. Raises ValueError with the reason when it cannot be built."""

    cdef rl_matcher *_data
    cdef readonly Scratch scratch
    cdef readonly int entries

    def __cinit__(self, matches, scratch=None):
        cdef char error[256]
        self._data = rl_matcher_new()
        for match in matches:
            if rl_matcher_entry(self._data) != 0:
                raise MemoryError
            for alternative in match.alternatives:
                if rl_matcher_alternative(self._data) != 0:
                    raise MemoryError
                for condition in alternative:
                    self._add(condition)
        if rl_matcher_finish(self._data, error, sizeof(error)) != 0:
            raise ValueError((<bytes>error).decode())
        self.entries = len(matches)
        self.scratch = scratch or Scratch()
        if rl_match_scratch_prepare(self.scratch._data, self._data) != 0:
            raise MemoryError

    cdef _add(self, condition):
        cdef char error[256]
        cdef rl_condition native
        cdef Memory memory = Memory()
        cdef rl_view *operands = <rl_view *>memory.take(len(condition.operands) * sizeof(rl_view))
        for i, operand in enumerate(condition.operands):
            operands[i] = memory.text(operand)
        native.source = condition.source
        native.op = condition.op
        native.name = memory.text(condition.name)
        native.operands = operands
        native.operand_count = len(condition.operands)
        native.networks = memory.networks(condition.cidrs)
        native.network_count = len(condition.cidrs)
        native.negate = condition.negate
        native.ignore_case = condition.ignore_case
        if rl_matcher_condition(self._data, &native, error, sizeof(error)) != 0:
            raise ValueError((<bytes>error).decode())

    def __dealloc__(self):
        rl_matcher_free(self._data)

    def run(self, Attributes attributes, limit: int | None = None, indexed: bool = True) -> tuple[int, list[int]]:
        """How many hold, and the ids written (at most limit; all by default)."""
        cdef uint32_t room = self.entries if limit is None else limit
        cdef uint32_t *ids = <uint32_t *>calloc(room or 1, sizeof(uint32_t))
        cdef uint32_t count
        if indexed:
            count = rl_matcher_run(self._data, self.scratch._data, attributes._data, ids, room)
        else:
            count = run_all(self._data, self.scratch._data, attributes._data, ids, room)
        try:
            return count, [ids[i] for i in range(min(count, room))]
        finally:
            free(ids)

    def measure(self, Attributes attributes, int rounds) -> float:
        """Nanoseconds a run, the attributes computed anew each time."""
        cdef uint32_t ids[32]
        cdef int i
        begin = time.perf_counter_ns()
        for i in range(rounds):
            rl_attributes_reset(attributes._data, &attributes._request, &attributes._client)
            rl_matcher_run(self._data, self.scratch._data, attributes._data, ids, 32)
        return (time.perf_counter_ns() - begin) / rounds

    def param(self, int entry, Attributes attributes, bytes name) -> bytes | None:
        cdef rl_view out
        cdef rl_view view = attributes._memory.text(name)
        return taken(out) if rl_matcher_param(self._data, entry, attributes._data, view, &out) else None

    def dump(self, int entry) -> str:
        size = rl_matcher_dump(self._data, entry, NULL, 0)
        cdef char *out = <char *>malloc(size or 1)
        rl_matcher_dump(self._data, entry, out, size)
        try:
            return out[:size].decode("utf-8", "backslashreplace")
        finally:
            free(out)


cdef class Overrides:
    """rl_overrides over a sequence of plan.Override; ids are positions."""

    cdef rl_overrides *_data

    def __cinit__(self, overrides):
        cdef Memory memory = Memory()
        cdef int code
        self._data = rl_overrides_new()
        for id, override in enumerate(overrides):
            if override.kind == 0:
                code = rl_overrides_add_exact(self._data, memory.text(override.text), id)
            elif override.kind == 1:
                code = rl_overrides_add_glob(self._data, memory.text(override.text), id)
            else:
                code = rl_overrides_add_network(self._data, memory.networks((override.cidr,)), id)
            if code != 0:
                raise ValueError(f"override {id}")
        if rl_overrides_finish(self._data) != 0:
            raise MemoryError

    def __dealloc__(self):
        rl_overrides_free(self._data)

    def find(self, bytes text, bytes client=None) -> int:
        cdef Memory memory = Memory()
        cdef rl_address address
        if client is not None:
            memcpy(address.bytes, <const char *>client, 16)
        return rl_overrides_find(self._data, memory.text(text), &address if client is not None else NULL)


def glob(bytes pattern, bytes text, bint path=True, bint ignore_case=False) -> tuple[dict[bytes, bytes] | None, int]:
    """The captures by name, or None when it does not match; and the steps it took."""
    cdef Memory memory = Memory()
    cdef Glob compiled
    cdef rl_view view = memory.text(text)
    cdef GlobCaptures captures
    cdef const char *wrong = glob_compile(memory.text(pattern), path, ignore_case, &compiled)
    if wrong != NULL:
        raise ValueError((<bytes>wrong).decode())
    if not glob_match(compiled, view, &captures):
        return None, captures.steps
    cdef bytes name
    found = {}
    for i in range(compiled.names.size()):
        name = compiled.names[i]
        found.setdefault(name, text[captures.begin[i]:captures.end[i]])
    return found, captures.steps
