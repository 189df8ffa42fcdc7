# The databases of a group of expressions, and who hears of what they find.
from ratelimitd._ext.waf.builder cimport Builder
from ratelimitd._ext.waf.layout cimport waf_group

# Compiles without the GIL. Raises EngineError.
cdef void put_group(Builder builder, waf_group *out, group) except *
