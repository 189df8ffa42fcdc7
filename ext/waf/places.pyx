import os

from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free

from ratelimitd._ext.bytes.address cimport rl_address, rl_address_parse
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.layout cimport WAF_PLACE_NAMES, waf_scratch, waf_value
from ratelimitd._ext.waf.maxminddb cimport (
    MMDB_DATA_TYPE_DOUBLE, MMDB_DATA_TYPE_FLOAT, MMDB_DATA_TYPE_UINT16, MMDB_DATA_TYPE_UINT32, MMDB_DATA_TYPE_UTF8_STRING, MMDB_MODE_MMAP,
    MMDB_SUCCESS, MMDB_close, MMDB_entry_data_s, MMDB_entry_s, MMDB_lookup_result_s, MMDB_open, MMDB_s, MMDB_strerror,
)
from ratelimitd._ext.waf.store cimport value_set_number, value_set_text, value_unset

from ratelimitd.errors import EngineError

cdef extern from *:
    """
    #include <maxminddb.h>
    #include <netinet/in.h>
    #include <string.h>

    // By the names of ratelimitd/waf/program.py's GEO_NAMES: where a record has it.
    static const char *const place_paths[][5] = {
        {"country", "iso_code", NULL},
        {"country", "names", "en", NULL},
        {"continent", "names", "en", NULL},
        {"subdivisions", "0", "names", "en", NULL},
        {"city", "names", "en", NULL},
        {"postal", "code", NULL},
        {"location", "latitude", NULL},
        {"location", "longitude", NULL},
        {"location", "metro_code", NULL},
    };

    static int place_value(MMDB_entry_s *entry, uint32_t name, MMDB_entry_data_s *out) {
      return MMDB_aget_value(entry, out, place_paths[name]);
    }

    // 16 bytes; IPv4 is mapped into ::ffff:0:0/96.
    static MMDB_lookup_result_s place_of(const MMDB_s *places, const unsigned char *address, int *error) {
      static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
      struct sockaddr_in6 six;
      struct sockaddr_in four;
      if (memcmp(address, mapped, 12) == 0) {
        memset(&four, 0, sizeof(four));
        four.sin_family = AF_INET;
        memcpy(&four.sin_addr, address + 12, 4);
        return MMDB_lookup_sockaddr(places, (const struct sockaddr *)&four, error);
      }
      memset(&six, 0, sizeof(six));
      six.sin6_family = AF_INET6;
      memcpy(&six.sin6_addr, address, 16);
      return MMDB_lookup_sockaddr(places, (const struct sockaddr *)&six, error);
    }
    """
    int place_value(MMDB_entry_s *entry, uint32_t name, MMDB_entry_data_s *out) noexcept nogil
    MMDB_lookup_result_s place_of(const MMDB_s *places, const unsigned char *address, int *error) noexcept nogil

cdef enum:
    DECIMALS = 6                  # of a coordinate
    DEGREES_ROOM = 16


cdef MMDB_s *places_open(str path, str origin) except NULL:
    cdef MMDB_s *places = <MMDB_s *>calloc(1, sizeof(MMDB_s))
    cdef bytes name = os.fsencode(path)
    if places == NULL:
        raise MemoryError
    status = MMDB_open(name, MMDB_MODE_MMAP, places)
    if status != MMDB_SUCCESS:
        free(places)
        raise EngineError(f"{origin}: {path}: {MMDB_strerror(status).decode()}")
    return places


cdef void places_close(MMDB_s *places) noexcept nogil:
    if places != NULL:
        MMDB_close(places)
        free(places)


cdef void set_degrees(waf_scratch *scratch, waf_value *value, double degrees) noexcept nogil:
    """As C's "%f" writes it."""
    cdef char *room
    cdef uint32_t at = DEGREES_ROOM
    cdef uint32_t digit
    cdef int64_t rest
    if not -1000 < degrees < 1000:
        return
    room = arena_reserve(&scratch.memory, DEGREES_ROOM)
    if room == NULL:
        scratch.out.error = 1
        return
    rest = <int64_t>((-degrees if degrees < 0 else degrees) * 1000000 + 0.5)
    for digit in range(DECIMALS + 1):
        at -= 1
        room[at] = <char>(c'0' + rest % 10)
        rest //= 10
        if digit == DECIMALS - 1:
            at -= 1
            room[at] = c'.'
    while rest:
        at -= 1
        room[at] = <char>(c'0' + rest % 10)
        rest //= 10
    if degrees < 0:
        at -= 1
        room[at] = c'-'
    arena_commit(&scratch.memory, DEGREES_ROOM)
    value_set_text(value, rl_view(room + at, DEGREES_ROOM - at))


cdef void set_value(waf_scratch *scratch, waf_value *value, const MMDB_entry_data_s *data) noexcept nogil:
    if data.type == MMDB_DATA_TYPE_UTF8_STRING:
        value_set_text(value, rl_view(data.utf8_string, data.data_size))
    elif data.type == MMDB_DATA_TYPE_DOUBLE:
        set_degrees(scratch, value, data.double_value)
    elif data.type == MMDB_DATA_TYPE_FLOAT:
        set_degrees(scratch, value, data.float_value)
    elif data.type == MMDB_DATA_TYPE_UINT16:
        value_set_number(value, data.uint16)
    elif data.type == MMDB_DATA_TYPE_UINT32:
        value_set_number(value, data.uint32)


cdef bint places_find(waf_scratch *scratch, rl_view text) noexcept nogil:
    cdef rl_address address
    cdef MMDB_lookup_result_s found
    cdef MMDB_entry_data_s data
    cdef waf_value *value
    cdef uint32_t name
    cdef int error = 0
    if not rl_address_parse(text, &address):
        return False
    found = place_of(scratch.program.places, address.bytes, &error)
    if error != MMDB_SUCCESS or not found.found_entry:
        return False
    for name in range(WAF_PLACE_NAMES):
        value = &scratch.store[scratch.program.place_slots[name]]
        value_unset(value)
        if place_value(&found.entry, name, &data) == MMDB_SUCCESS and data.has_data:
            set_value(scratch, value, &data)
    return True
