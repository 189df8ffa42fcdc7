# @rbl: is the address, or the name, in a blocklist that is asked by DNS?
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_link, waf_scratch

# service: the blocklist's name. With `capture` TX:0 has what was found.
cdef bint blocklist_has(waf_scratch *scratch, const waf_link *link, rl_view service, rl_view value) noexcept nogil
