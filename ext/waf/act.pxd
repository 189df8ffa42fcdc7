# What rules do when they match.
from ratelimitd._ext.waf.layout cimport waf_link, waf_scratch

# setvar: for every value that matches.
cdef void act_on_match(waf_scratch *scratch, const waf_link *link) noexcept nogil
# ctl: once, when the whole chain has matched.
cdef void act_on_rule(waf_scratch *scratch, const waf_link *link) noexcept nogil
