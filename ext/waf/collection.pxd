# The collections of a transaction (IP, GLOBAL, SESSION, USER, RESOURCE): their keys, and what rules do to their variables. A collection
# without a key has variables, too: they end with the transaction.
from libc.stdint cimport uint16_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_link, waf_scratch, waf_set

cdef void collections_begin(waf_scratch *scratch) noexcept nogil
# From here on the collection is the one of this key (initcol, setsid, ...). The key must live as long as the transaction.
cdef void collection_bind(waf_scratch *scratch, uint16_t variable, rl_view key) noexcept nogil
# To be called before variables of it are read from the store. Of any variable; those that are no collection are let be.
cdef void collection_look(waf_scratch *scratch, uint16_t variable) noexcept nogil
# Does it have a key, so that changes are for collection_change?
cdef bint collection_bound(waf_scratch *scratch, uint16_t variable) noexcept nogil
# Carries out a change, in the store and for other transactions. name: with the collection in front.
cdef void collection_change(waf_scratch *scratch, const waf_link *link, const waf_set *change, rl_view name, rl_view value) noexcept nogil
