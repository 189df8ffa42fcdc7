# From a link of the program to its struct.
from ratelimitd._ext.waf.builder cimport Builder
from ratelimitd._ext.waf.layout cimport waf_link

# of_response: its rule sees a response. first: it begins its chain. scores: names that hold scores. Raises EngineError.
cdef void put_link(Builder builder, waf_link *out, link, bint of_response, bint first, set scores) except *
