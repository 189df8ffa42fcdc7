# The variables that rules set: TX and its kin. Names have their collection in front ("tx.x") and are lower-case. The program's own names are
# slots of an array; what a rule makes up as it runs ("tx.count_%{matched_var_name}") goes to a bounded table.
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch, waf_value

# What the names of a collection's variables begin with: "ip.".
cdef rl_view collection_of(uint16_t variable) noexcept nogil
cdef void store_begin(waf_scratch *scratch) noexcept nogil
# The slot of a name, or -1.
cdef int32_t store_slot(waf_scratch *scratch, rl_view name) noexcept nogil
# The value of a slot, or of a name without one (slot -1). With `create` one is made when there is none; NULL: none, or no room (then the
# result's error is set).
cdef waf_value *store_at(waf_scratch *scratch, int32_t slot, rl_view name, bint create) noexcept nogil
# As text. Numbers are written out when somebody asks.
cdef rl_view value_text(waf_scratch *scratch, waf_value *value) noexcept nogil
cdef int64_t value_number(waf_value *value) noexcept nogil
cdef void value_set_text(waf_value *value, rl_view text) noexcept nogil
cdef void value_unset(waf_value *value) noexcept nogil
cdef void value_set_number(waf_value *value, int64_t number) noexcept nogil
# Saturated.
cdef int64_t number_sum(int64_t a, int64_t b) noexcept nogil
# The number in front of a text, as C's atoi: 0 when there is none; clamped to 64 bits.
cdef int64_t number_of(rl_view text) noexcept nogil
