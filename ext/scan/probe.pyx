"""Programs for tests: build one from plan.Rule objects, scan requests given as dicts."""
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from ratelimitd._ext.core cimport rl_pair, rl_request, rl_view
from ratelimitd._ext.scan.layout cimport scan_program, scan_result, scan_scratch
from ratelimitd._ext.scan.program cimport (
    program_build, program_databases, program_dump, program_free, program_scan, scratch_free, scratch_new, scratch_prepare,
)

import time

from ratelimitd._ext.scan.database import databases_in_use

cdef extern from "malloc.h" nogil:
    cdef struct mallinfo2_t "mallinfo2":
        size_t uordblks
        size_t hblkhd

    mallinfo2_t mallinfo2()


cdef rl_view owned(bytes text) except *:
    """A heap block of exactly the size, so that a sanitizer sees every byte read beyond it."""
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


cdef class Request:
    cdef rl_request request
    cdef rl_pair *headers

    def __init__(self, dict fields):
        memset(&self.request, 0, sizeof(self.request))
        self.request.method = owned(fields.get("method", b"GET"))
        self.request.path = owned(fields.get("path", b"/"))
        self.request.host = owned(fields.get("host", b""))
        self.request.body = owned(fields.get("body", b""))
        self.request.has_body = "body" in fields
        self.request.partial_body = fields.get("partial_body", False)
        headers = fields.get("headers", [])
        self.headers = <rl_pair *>calloc(len(headers) + 1, sizeof(rl_pair))
        for i, (name, value) in enumerate(headers):
            self.headers[<uint32_t>i].name = owned(name)
            self.headers[<uint32_t>i].value = owned(value)
        self.request.headers = self.headers
        self.request.header_count = <uint32_t>len(headers)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.request.header_count):
            free(<void *>self.headers[i].name.data)
            free(<void *>self.headers[i].value.data)
        free(self.headers)
        free(<void *>self.request.method.data)
        free(<void *>self.request.path.data)
        free(<void *>self.request.host.data)
        free(<void *>self.request.body.data)


cdef class Program:
    """A program with a scratch of its own; share= prepares another program's scratch instead."""

    cdef scan_program *program
    cdef scan_scratch *scratch

    def __init__(self, rules, cache_dir=None):
        self.program = program_build(rules, cache_dir)
        self.scratch = scratch_new()
        if self.scratch == NULL or scratch_prepare(self.scratch, self.program) != 0:
            raise MemoryError

    def __dealloc__(self):
        program_free(self.program)
        scratch_free(self.scratch)

    @property
    def databases(self) -> int:
        return program_databases(self.program)

    def dump(self) -> str:
        return program_dump(self.program)

    def prepare(self, Program other) -> None:
        """Makes this scratch good for the other program as well."""
        if scratch_prepare(self.scratch, other.program) != 0:
            raise MemoryError

    def scan_with(self, Program other, dict request, uint32_t body_limit=131072) -> dict:
        """The other program on this scratch."""
        cdef Request built = Request(request)
        cdef scan_result result
        program_scan(other.program, self.scratch, &built.request, body_limit, &result)
        return {
            "score": result.score,
            "matches": [
                (taken(result.matches[i].id), taken(result.matches[i].target), result.matches[i].score) for i in range(result.match_count)
            ],
            "deny_match": result.deny_match,
            "bytes_inspected": result.bytes_inspected,
            "inspected_all": bool(result.inspected_all),
            "error": bool(result.error),
        }

    def scan(self, dict request, uint32_t body_limit=131072) -> dict:
        return self.scan_with(self, request, body_limit)

    def heap_growth(self, dict request, int rounds) -> int:
        """Bytes by which the heap grows while a request is scanned again and again."""
        cdef Request built = Request(request)
        cdef scan_result result
        cdef mallinfo2_t before
        cdef mallinfo2_t after
        cdef int i
        with nogil:
            program_scan(self.program, self.scratch, &built.request, 131072, &result)
            before = mallinfo2()
            for i in range(rounds):
                program_scan(self.program, self.scratch, &built.request, 131072, &result)
            after = mallinfo2()
        return (after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd)

    def time_scan(self, dict request, int rounds) -> float:
        """Seconds of CPU for one scan."""
        cdef Request built = Request(request)
        cdef scan_result result
        cdef int i
        begin = time.thread_time()
        with nogil:
            for i in range(rounds):
                program_scan(self.program, self.scratch, &built.request, 131072, &result)
        return (time.thread_time() - begin) / rounds
