# @geoLookup: where an address is, by a MaxMind database (.mmdb) of countries or of cities. The file is mapped, not read: profiles share its pages.
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.waf.layout cimport waf_scratch
from ratelimitd._ext.waf.maxminddb cimport MMDB_s

# Raises EngineError with `origin`, the place of its SecGeoLookupDb.
cdef MMDB_s *places_open(str path, str origin) except NULL
cdef void places_close(MMDB_s *places) noexcept nogil

# Fills GEO with what is known of an address, and empties what is not. 0: it is no address, or in no place that we know; GEO is as it was.
cdef bint places_find(waf_scratch *scratch, rl_view text) noexcept nogil
