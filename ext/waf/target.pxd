from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_item, waf_scratch

# "ARGS:id", safe to print and of bounded size; empty for no item. Lives until the scratch's next transaction.
cdef rl_view target_text(waf_scratch *scratch, const waf_item *item) noexcept nogil
