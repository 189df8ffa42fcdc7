# Which links look at what: the transformations that are scanned, and the fields of each source.
from ratelimitd._ext.waf.builder cimport Builder
from ratelimitd._ext.waf.layout cimport waf_source

cdef void put_nodes(Builder builder) except *
cdef void put_source(Builder builder, waf_source *out, int source) except *
