# match/*.h and bytes/address.h for Cython. The headers hold the documentation.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ratelimitd._ext.core cimport rl_request, rl_view


cdef extern from "bytes/address.h" nogil:
    ctypedef struct rl_address:
        uint8_t bytes[16]

    ctypedef struct rl_network:
        rl_address address
        uint8_t prefix

    int rl_address_parse(rl_view text, rl_address *out) noexcept
    uint32_t rl_address_format(const rl_address *address, char *out) noexcept


cdef extern from "match/attributes.h" nogil:
    enum:
        RL_SOURCE_CONSTANT
        RL_SOURCE_CLIENT_IP
        RL_SOURCE_PATH_PARAM

    ctypedef struct rl_client_rule:
        const rl_network *trusted
        uint32_t trusted_count
        uint32_t hops
        rl_view header
        uint8_t ipv4_prefix
        uint8_t ipv6_prefix

    ctypedef struct rl_attributes:
        pass

    rl_attributes *rl_attributes_new() noexcept
    void rl_attributes_free(rl_attributes *attributes) noexcept
    void rl_attributes_reset(rl_attributes *attributes, const rl_request *request, const rl_client_rule *client) noexcept
    int rl_attributes_get(rl_attributes *attributes, int source, rl_view name, rl_view *out) noexcept
    int rl_attributes_client(rl_attributes *attributes, rl_address *out) noexcept


cdef extern from "match/matcher.h" nogil:
    ctypedef struct rl_matcher:
        pass

    ctypedef struct rl_condition:
        int source
        int op
        rl_view name
        const rl_view *operands
        uint32_t operand_count
        const rl_network *networks
        uint32_t network_count
        uint8_t negate
        uint8_t ignore_case

    ctypedef struct rl_match_scratch:
        pass

    ctypedef struct rl_overrides:
        pass

    rl_matcher *rl_matcher_new() noexcept
    int rl_matcher_entry(rl_matcher *matcher) noexcept
    int rl_matcher_alternative(rl_matcher *matcher) noexcept
    int rl_matcher_condition(rl_matcher *matcher, const rl_condition *condition, char *error, size_t error_size) noexcept
    int rl_matcher_finish(rl_matcher *matcher, char *error, size_t error_size) noexcept
    void rl_matcher_free(rl_matcher *matcher) noexcept

    rl_match_scratch *rl_match_scratch_new() noexcept
    int rl_match_scratch_prepare(rl_match_scratch *scratch, const rl_matcher *matcher) noexcept
    void rl_match_scratch_free(rl_match_scratch *scratch) noexcept

    uint32_t rl_matcher_run(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids, uint32_t max) noexcept
    int rl_matcher_param(const rl_matcher *matcher, uint32_t entry, rl_attributes *attributes, rl_view name, rl_view *out) noexcept

    rl_overrides *rl_overrides_new() noexcept
    int rl_overrides_add_exact(rl_overrides *overrides, rl_view text, uint32_t id) noexcept
    int rl_overrides_add_glob(rl_overrides *overrides, rl_view text, uint32_t id) noexcept
    int rl_overrides_add_network(rl_overrides *overrides, const rl_network *network, uint32_t id) noexcept
    int rl_overrides_finish(rl_overrides *overrides) noexcept
    void rl_overrides_free(rl_overrides *overrides) noexcept
    int64_t rl_overrides_find(const rl_overrides *overrides, rl_view text, const rl_address *client) noexcept

    size_t rl_matcher_dump(const rl_matcher *matcher, uint32_t entry, char *out, size_t size) noexcept
