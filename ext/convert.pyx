"""Requests and verdicts as Python values, for Engine.check and what is built on it."""
from libc.stdint cimport uint32_t
from libc.string cimport memset

from ratelimitd._ext.core cimport RL_DENY, RL_MAX_ATTRIBUTES, RL_MAX_HEADERS, rl_pair, rl_request, rl_response, rl_verdict, rl_view

from ratelimitd._ext.events import REASONS
from ratelimitd.errors import EngineError

cdef extern from "wire/messages.h" namespace "rl" nogil:
    void client_headers(const rl_verdict &verdict, void (*sink)(void *context, rl_view name, rl_view value) noexcept, void *context)


cdef class Kept:
    def __cinit__(self, *_):
        self.kept = []

    cdef rl_view view(self, object value):
        cdef rl_view out
        cdef bytes data = to_bytes(value)
        self.kept.append(data)
        out.data = data
        out.size = <uint32_t>len(data)
        return out

    cdef uint32_t pairs(self, rl_pair *out, object pairs, uint32_t most, str what, bint lower) except? 0:
        cdef uint32_t index = 0
        if len(pairs) > most:
            raise EngineError(f"{what}: {len(pairs)}, at most {most}")
        for name, value in pairs:
            out[index].name = self.view(to_bytes(name).lower() if lower else name)
            out[index].value = self.view(value)
            index += 1
        return index


cdef class Request(Kept):
    """An rl_request made of Python values, which it keeps alive."""

    def __cinit__(self, request):
        memset(&self.data, 0, sizeof(rl_request))
        self.data.domain = self.view(request.get("domain", b""))
        self.data.source_address = self.view(request.get("source_address", b""))
        self.data.method = self.view(request.get("method", b""))
        self.data.path = self.view(request.get("path", b""))
        self.data.host = self.view(request.get("host", b""))
        self.data.scheme = self.view(request.get("scheme", b""))
        self.data.protocol = self.view(request.get("protocol", b""))
        headers = request.get("headers") or []
        self.data.headers = self.headers
        self.data.header_count = self.pairs(self.headers, headers, RL_MAX_HEADERS, "headers", True)
        attributes = list((request.get("attributes") or {}).items())
        self.data.attributes = self.attributes
        self.data.attribute_count = self.pairs(self.attributes, attributes, RL_MAX_ATTRIBUTES, "attributes", False)
        body = request.get("body")
        if body is not None:
            self.data.has_body = 1
            self.data.body = self.view(body)
        cost = request.get("cost")
        self.data.cost = 1 if cost is None else cost
        self.data.partial_body = bool(request.get("partial_body"))
        self.data.dry_run = bool(request.get("dry_run"))
        self.data.explain = bool(request.get("explain"))


cdef class Response(Kept):
    """An rl_response made of Python values, which it keeps alive."""

    def __cinit__(self, response):
        memset(&self.data, 0, sizeof(rl_response))
        self.data.status = response.get("status", 200)
        self.data.protocol = self.view(response.get("protocol", b""))
        self.data.headers = self.headers
        self.data.header_count = self.pairs(self.headers, response.get("headers") or [], RL_MAX_HEADERS, "headers", True)
        self.data.body = self.view(response.get("body") or b"")
        self.data.partial_body = bool(response.get("partial_body"))


cdef bytes to_bytes(object value):
    return value.encode() if isinstance(value, str) else bytes(value)


cdef str to_text(rl_view view):
    return view.data[:view.size].decode("utf-8", "replace") if view.size else ""


cdef void _add_header(void *context, rl_view name, rl_view value) noexcept with gil:
    (<list>context).append((to_text(name), to_text(value)))


cdef dict verdict_dict(const rl_verdict *verdict):
    cdef int index
    headers = []
    client_headers(verdict[0], _add_header, <void *>headers)
    decided_by = to_text(verdict.penalty if verdict.penalty.size else verdict.list)
    if verdict.deciding_state >= 0:
        decided_by = to_text(verdict.states[verdict.deciding_state].name)
    elif verdict.deciding_match >= 0 and verdict.decision == RL_DENY:
        decided_by = to_text(verdict.matches[verdict.deciding_match].id)
    return {
        "decision": "deny" if verdict.decision == RL_DENY else "allow",
        "status": verdict.status,
        "reason": REASONS[verdict.reason],
        "decided_by": decided_by,
        "domain": to_text(verdict.domain),
        "limits": [
            {
                "name": to_text(verdict.states[index].name),
                "limit": verdict.states[index].limit,
                "remaining": verdict.states[index].remaining,
                "window_ms": verdict.states[index].window_ms,
                "reset_after_ms": verdict.states[index].reset_after_ms,
                "over": bool(verdict.states[index].over),
                "shadow": bool(verdict.states[index].shadow),
                "unlimited": bool(verdict.states[index].unlimited),
            }
            for index in range(verdict.state_count)
        ],
        "matches": [
            {
                "id": to_text(verdict.matches[index].id),
                "target": to_text(verdict.matches[index].target),
                "score": verdict.matches[index].score,
            }
            for index in range(verdict.match_count)
        ],
        "score": verdict.score,
        "bytes_inspected": verdict.bytes_inspected,
        "inspected_all": bool(verdict.inspected_all),
        "headers": headers,
        "reference": f"{verdict.reference:016x}" if verdict.reference else "",
        "shadow_denied": bool(verdict.shadow_denied),
        "retry_after": verdict.retry_after_s,
    }
