# Operators on one value.
from ratelimitd._ext.bytes.pcre cimport rl_pcre
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_link, waf_scratch

# Does the value match? Negation is in it; captures are stored when the link asks for them. argument: filled in.
cdef bint operate(waf_scratch *scratch, const waf_link *link, rl_view argument, rl_view value) noexcept nogil
# Stores the captures of a match that scanning has found.
cdef void capture(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil
# Does the regular expression find something in the text? A search that is given up finds nothing and sets the result's error.
cdef bint finds(waf_scratch *scratch, const rl_pcre *regex, rl_view text) noexcept nogil

# libinjection, behind its gates. injection_open loads it, once; raises InjectionError or EngineError.
cdef bint is_sqli(rl_view text) noexcept nogil
cdef bint is_xss(rl_view text) noexcept nogil
cdef injection_open()
