# bytes/operators.h, for Cython; the header holds the documentation.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from ratelimitd._ext.bytes.address cimport rl_network
from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/operators.h" nogil:
    ctypedef struct rl_byte_set:
        uint8_t rows[32]

    ctypedef struct rl_ip_range:
        rl_network network
        uint8_t ipv6

    int rl_op_begins_with(rl_view text, rl_view param)
    int rl_op_ends_with(rl_view text, rl_view param)
    int rl_op_contains(rl_view text, rl_view param)
    int rl_op_contains_word(rl_view text, rl_view param)
    int rl_op_streq(rl_view text, rl_view param)
    int rl_op_within(rl_view text, rl_view param)
    int32_t rl_op_int(rl_view text)
    int64_t rl_op_long(rl_view text)
    uint32_t rl_byte_set_parse(rl_view param, rl_byte_set *out)
    int rl_op_outside(rl_view text, const rl_byte_set *allowed)
    int rl_op_bad_url_encoding(rl_view text)
    int rl_op_bad_utf8(rl_view text)
    int rl_ip_range_next(rl_view param, uint32_t *cursor, rl_ip_range *out)
    int rl_op_ip_match(rl_view text, const rl_ip_range *ranges, uint32_t count)
    int rl_is_card(rl_view match)
    int rl_is_cpf(rl_view match)
    int rl_is_ssn(rl_view match)
    int rl_is_svnr(rl_view match)
