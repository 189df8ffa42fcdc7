# What we use of maxminddb.h (libmaxminddb 1.x).
from libc.stdint cimport uint8_t, uint16_t, uint32_t


cdef extern from "maxminddb.h" nogil:
    ctypedef struct MMDB_s:
        pass

    ctypedef struct MMDB_entry_s:
        pass

    ctypedef struct MMDB_lookup_result_s:
        bint found_entry
        MMDB_entry_s entry

    ctypedef struct MMDB_entry_data_s:
        bint has_data
        const char *utf8_string
        double double_value
        float float_value
        uint16_t uint16
        uint32_t uint32
        uint32_t data_size
        uint32_t type

    enum:
        MMDB_SUCCESS
        MMDB_MODE_MMAP
        MMDB_DATA_TYPE_UTF8_STRING
        MMDB_DATA_TYPE_DOUBLE
        MMDB_DATA_TYPE_FLOAT
        MMDB_DATA_TYPE_UINT16
        MMDB_DATA_TYPE_UINT32

    int MMDB_open(const char *filename, uint32_t flags, MMDB_s *mmdb)
    void MMDB_close(MMDB_s *mmdb)
    const char *MMDB_strerror(int error)
