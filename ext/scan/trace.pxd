# What a scan sees of a request, for people: the reading and the searching are those of a real one.
from libc.stdint cimport uint32_t

from ratelimitd._ext.core cimport rl_request


# A list of dicts, one for each value that was read, in the order of a scan: "target" (plan.Target), "name", "value" (as it came), "rules"
# (indices of those that look at it) and "strings": what transformations made of it, each with "text", "rules" and "fired" (indices of those
# that searched it and of those that found something). Values of targets that no rule names may be missing. rules: a sequence of plan.Rule.
# Raises EngineError.
cdef list scan_trace(object rules, const rl_request *request, uint32_t body_limit)
