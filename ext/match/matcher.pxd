# match/matcher.h, for Cython; the header holds the documentation.
from libc.stdint cimport int64_t, uint8_t, uint32_t

from ratelimitd._ext.bytes.address cimport rl_address, rl_network
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.match.attributes cimport rl_attributes


cdef extern from "match/matcher.h" nogil:
    ctypedef struct rl_matcher:
        pass

    ctypedef struct rl_match_scratch:
        pass

    ctypedef struct rl_overrides:
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

    rl_matcher *rl_matcher_new()
    int rl_matcher_entry(rl_matcher *matcher)
    int rl_matcher_alternative(rl_matcher *matcher)
    int rl_matcher_condition(rl_matcher *matcher, const rl_condition *condition, char *error, size_t error_size)
    int rl_matcher_finish(rl_matcher *matcher, char *error, size_t error_size)
    void rl_matcher_free(rl_matcher *matcher)

    rl_match_scratch *rl_match_scratch_new()
    int rl_match_scratch_prepare(rl_match_scratch *scratch, const rl_matcher *matcher)
    void rl_match_scratch_free(rl_match_scratch *scratch)

    uint32_t rl_matcher_run(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids, uint32_t max)
    int rl_matcher_param(const rl_matcher *matcher, uint32_t entry, rl_attributes *attributes, rl_view name, rl_view *out)
    size_t rl_matcher_dump(const rl_matcher *matcher, uint32_t entry, char *out, size_t size)

    rl_overrides *rl_overrides_new()
    int rl_overrides_add_exact(rl_overrides *overrides, rl_view text, uint32_t id)
    int rl_overrides_add_glob(rl_overrides *overrides, rl_view text, uint32_t id)
    int rl_overrides_add_network(rl_overrides *overrides, const rl_network *network, uint32_t id)
    int rl_overrides_finish(rl_overrides *overrides)
    void rl_overrides_free(rl_overrides *overrides)
    int64_t rl_overrides_find(const rl_overrides *overrides, rl_view text, const rl_address *client)
