# The structs of core/*.h, for Cython. Field by field the same; the headers hold the documentation.
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "core/view.h" nogil:
    ctypedef struct rl_view:
        const char *data
        uint32_t size

    ctypedef struct rl_pair:
        rl_view name
        rl_view value


cdef extern from "core/request.h" nogil:
    enum:
        RL_MAX_HEADERS
        RL_MAX_ATTRIBUTES

    ctypedef struct rl_request:
        rl_view domain
        rl_view source_address
        rl_view method
        rl_view path
        rl_view host
        rl_view scheme
        rl_view protocol
        rl_view request_id
        rl_view body
        const rl_pair *headers
        const rl_pair *attributes
        rl_view metadata
        uint32_t header_count
        uint32_t attribute_count
        uint32_t cost
        uint8_t has_body
        uint8_t partial_body
        uint8_t dry_run
        uint8_t explain


cdef extern from "core/response.h" nogil:
    ctypedef struct rl_response:
        rl_view protocol
        rl_view body
        const rl_pair *headers
        uint32_t header_count
        uint16_t status
        uint8_t partial_body


cdef extern from "core/verdict.h" nogil:
    enum:
        RL_ALLOW
        RL_DENY
        RL_REASON_NONE
        RL_REASON_ALLOW_LIST
        RL_REASON_DENY_LIST
        RL_REASON_OVER_LIMIT
        RL_REASON_SCAN
        RL_REASON_PARTIAL_BODY
        RL_REASON_NO_POLICY
        RL_REASON_OVERLOAD
        RL_REASON_PENALTY
        RL_REASON_STORE_LOST
        RL_REASON_COUNT
        RL_HEADERS_NONE
        RL_HEADERS_IETF
        RL_HEADERS_X_RATELIMIT
        RL_MAX_STATES
        RL_MAX_MATCHES

    ctypedef struct rl_limit_state:
        rl_view name
        rl_view policy_item
        uint64_t limit
        uint64_t remaining
        uint32_t window_ms
        uint32_t reset_after_ms
        uint8_t over
        uint8_t lost
        uint8_t shadow
        uint8_t unlimited

    ctypedef struct rl_rule_match:
        rl_view id
        rl_view target
        rl_view value
        uint32_t score

    ctypedef struct rl_verdict:
        uint8_t decision
        uint8_t reason
        uint8_t shadow_denied
        uint8_t header_families
        uint16_t status
        uint8_t inspected_all
        uint8_t metadata
        int16_t deciding_state
        int16_t deciding_match
        int16_t tightest_state
        uint16_t state_count
        uint16_t match_count
        uint32_t score
        uint32_t retry_after_s
        uint64_t bytes_inspected
        uint64_t reference
        rl_view domain
        rl_view list
        rl_view penalty
        rl_limit_state *states
        rl_rule_match *matches


cdef extern from "core/descriptors.h" nogil:
    enum:
        RL_MAX_DESCRIPTORS
        RL_APPLIES_NOTHING
        RL_APPLIES_LIMIT
        RL_APPLIES_UNLIMITED

    ctypedef struct rl_descriptor:
        const rl_pair *attributes
        uint32_t attribute_count
        uint32_t hits
        rl_view address
        uint64_t window_ms
        uint32_t limit
        uint8_t refund

    ctypedef struct rl_descriptor_call:
        rl_view domain
        const rl_descriptor *descriptors
        uint32_t count

    ctypedef struct rl_descriptor_status:
        rl_view name
        uint64_t limit
        uint64_t remaining
        uint64_t window_ms
        uint32_t reset_s
        uint8_t applies
        uint8_t over

    ctypedef struct rl_descriptor_answer:
        uint8_t over
        uint32_t count
        uint32_t metadata_count
        rl_view *metadata
        rl_descriptor_status *statuses


cdef extern from "core/spine.h" nogil:
    ctypedef struct rl_spine:
        void *self
        void (*enter)(void *self, uint32_t worker) noexcept
        void (*leave)(void *self, uint32_t worker) noexcept
        void (*check)(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict) noexcept
        void (*inspect)(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, const rl_response *response, rl_verdict *verdict) noexcept
        void (*rate_limit)(
            void *self, uint32_t worker, int64_t now_ns, const rl_descriptor_call *call, rl_descriptor_answer *answer, rl_verdict *verdict) noexcept


cdef extern from "core/atomic.h" nogil:
    void *rl_load_pointer(void **at) noexcept
    void rl_store_pointer(void **at, void *value) noexcept
    void rl_count(uint64_t *at, uint64_t n) noexcept
    uint64_t rl_counted(const uint64_t *at) noexcept
    void rl_set(uint64_t *at, uint64_t value) noexcept
    uint64_t rl_load_acquire(const uint64_t *at) noexcept
    void rl_store_release(uint64_t *at, uint64_t value) noexcept
