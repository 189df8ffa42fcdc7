# bytes/form_data.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/form_data.h" nogil:
    enum:
        RL_FORM_DATA_ERROR
        RL_FORM_DATA_BOUNDARY_QUOTED
        RL_FORM_DATA_BOUNDARY_WHITESPACE
        RL_FORM_DATA_DATA_BEFORE
        RL_FORM_DATA_DATA_AFTER
        RL_FORM_DATA_HEADER_FOLDING
        RL_FORM_DATA_LF_LINE
        RL_FORM_DATA_SEMICOLON_MISSING
        RL_FORM_DATA_INVALID_QUOTING
        RL_FORM_DATA_INVALID_PART
        RL_FORM_DATA_INVALID_HEADER_FOLDING
        RL_FORM_DATA_STRICT_ERROR
        RL_FORM_DATA_CRLF_LINE

    enum:
        RL_FORM_DATA_END
        RL_FORM_DATA_NAME
        RL_FORM_DATA_FILENAME
        RL_FORM_DATA_HEADER
        RL_FORM_DATA_FIELD
        RL_FORM_DATA_FILE

    ctypedef struct rl_form_data_item:
        rl_view name
        rl_view value
        rl_view filename
        rl_view content

    ctypedef struct rl_form_data:
        const char *error
        uint32_t flags
        uint8_t unmatched_boundary
        uint8_t complete

    uint64_t rl_form_data_room(uint32_t body_size)
    int rl_form_data_start(rl_form_data *reader, rl_view content_type, rl_view body, char *buffer)
    int rl_form_data_next(rl_form_data *reader, rl_form_data_item *item)
