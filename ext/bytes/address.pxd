# bytes/address.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "bytes/address.h" nogil:
    ctypedef struct rl_address:
        uint8_t bytes[16]

    ctypedef struct rl_network:
        rl_address address
        uint8_t prefix

    int rl_address_parse(rl_view text, rl_address *out)
    uint32_t rl_address_format(const rl_address *address, char *out)
    int rl_network_contains(const rl_network *network, const rl_address *address)
    void rl_address_mask(rl_address *address, uint8_t prefix)
    int rl_address_is_ipv4(const rl_address *address)
