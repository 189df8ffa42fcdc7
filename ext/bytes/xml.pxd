# bytes/xml.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_pair, rl_view


cdef extern from "bytes/xml.h" nogil:
    enum:
        RL_XML_OK
        RL_XML_INVALID
        RL_XML_TOO_LARGE
        RL_XML_DEEP

    ctypedef struct rl_xml:
        char *text
        uint32_t text_room
        char *values
        uint32_t values_room
        rl_view *attributes
        uint32_t attributes_room
        rl_pair *arguments
        uint32_t arguments_room
        uint8_t has_root
        uint32_t text_size
        uint32_t values_size
        uint32_t attributes_count
        uint32_t arguments_count

    int rl_xml_read(rl_xml *self, rl_view body)
