# Hits that are given back.
#
# A count of ours only ever rises in the store, so that flushes may come twice, late or out of order. What is given back is therefore taken
# from what this node itself has counted in the window, and only here: others go on with the most that they have heard, until the window
# ends. Nobody admits too much, whoever gives back what; a refund that comes to a node that counted less gives back less.
from libc.stdint cimport int64_t

from ratelimitd._ext.limit.table cimport counter_table, table_hit


# Gives hit.cost back, as far as it was counted and is still in the window, and views the counter after that; it is not over.
cdef void refund(counter_table *table, table_hit *hit, int64_t now_ms) noexcept nogil
