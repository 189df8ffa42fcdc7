# Texts with %{...} in them, filled in.
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch, waf_text

# In the transaction's memory, or the program's when nothing has to be filled in. lower: fold ASCII upper case (names do).
cdef rl_view text_fill(waf_scratch *scratch, const waf_text *text, bint lower) noexcept nogil
