# match/attributes.h, for Cython; the header holds the documentation.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.bytes.address cimport rl_address, rl_network
from ratelimitd._ext.core cimport rl_request, rl_view


cdef extern from "match/attributes.h" nogil:
    enum:
        RL_SOURCE_CONSTANT
        RL_SOURCE_CLIENT_IP
        RL_SOURCE_METHOD
        RL_SOURCE_HOST
        RL_SOURCE_PATH
        RL_SOURCE_RAW_PATH
        RL_SOURCE_SCHEME
        RL_SOURCE_HEADER
        RL_SOURCE_COOKIE
        RL_SOURCE_QUERY
        RL_SOURCE_PATH_PARAM
        RL_SOURCE_ATTRIBUTE

    ctypedef struct rl_client_rule:
        const rl_network *trusted
        uint32_t trusted_count
        uint32_t hops
        rl_view header
        uint8_t ipv4_prefix
        uint8_t ipv6_prefix

    ctypedef struct rl_attributes:
        pass

    rl_attributes *rl_attributes_new()
    void rl_attributes_free(rl_attributes *attributes)
    void rl_attributes_reset(rl_attributes *attributes, const rl_request *request, const rl_client_rule *client)
    int rl_attributes_get(rl_attributes *attributes, int source, rl_view name, rl_view *out)
    int rl_attributes_client(rl_attributes *attributes, rl_address *out)
