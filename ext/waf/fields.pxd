# The fields of a transaction: what was sent, by source.
from libc.stdint cimport uint16_t

from ratelimitd._ext.core cimport rl_request, rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch

cdef void fields_begin(waf_scratch *scratch) noexcept nogil
# Adds a field; the views must live as long as the transaction. Beyond WAF_FIELDS the result's error is set.
cdef void field_add(waf_scratch *scratch, uint16_t source, rl_view name, rl_view value) noexcept nogil
# All that is known before the body: request line, headers, cookies, arguments of the query.
cdef void fields_request(waf_scratch *scratch, const rl_request *request) noexcept nogil
# The value of a variable that no source holds. 0: it has none.
cdef bint computed(waf_scratch *scratch, uint16_t variable, rl_view *value) noexcept nogil
# Two texts or three as one, in the transaction's memory.
cdef rl_view joined(waf_scratch *scratch, rl_view a, rl_view b, rl_view c) noexcept nogil
cdef rl_view digits(waf_scratch *scratch, long long number) noexcept nogil

# Adds an argument, already decoded. 0: there are as many as the rules allow (SecArgumentsLimit).
cdef bint add_argument(waf_scratch *scratch, uint16_t source, rl_view name, rl_view value) noexcept nogil
# Adds the arguments of a query string or a form, decoded.
cdef void add_arguments(waf_scratch *scratch, uint16_t source, rl_view form) noexcept nogil
