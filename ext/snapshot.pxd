# The compiled policy in the form that workers read: plain structs, built once, never changed, published as one pointer.
#
# A Snapshot (the Python object) owns every byte; it lives as long as any worker has it pinned.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.bans cimport BAN_MAX_STEPS
from ratelimitd._ext.limit.window cimport window_rule
from ratelimitd._ext.match.attributes cimport rl_client_rule
from ratelimitd._ext.match.matcher cimport rl_matcher, rl_overrides
from ratelimitd._ext.waf.layout cimport waf_program


cdef enum:
    SNAPSHOT_MAX_KEY_PARTS = 8
    SNAPSHOT_MAX_TRIGGERS = 4      # of a penalty


cdef struct snapshot_key_part:
    int source
    rl_view name


# How much, for a limit or one of its overrides.
cdef struct snapshot_rate:
    window_rule rule
    rl_view policy_item   # `"per-ip";q=100;w=60`
    uint8_t unlimited


cdef struct snapshot_limit:
    rl_view name
    uint8_t identity[16]
    snapshot_rate rate
    snapshot_key_part *key
    uint32_t key_count
    uint32_t cost
    uint32_t score_cost   # of each point of the scan's score, beside the request's own cost
    uint32_t slot         # where it is counted
    uint16_t status
    uint8_t shadow
    uint8_t by_score
    uint8_t skip_missing_key
    uint8_t consistency            # plan.Consistency, and TABLE_* of limit.table
    uint8_t on_loss                # plan.StoreLoss, the same
    uint8_t quota         # in ShouldRateLimit: it tells, and does not deny
    rl_view answer_name   # what ShouldRateLimit calls it
    rl_view metadata      # google.protobuf.Struct
    uint32_t *replaces    # indexes of the limits that do not apply beside it in ShouldRateLimit
    uint32_t replaces_count
    rl_overrides *overrides        # NULL: none
    snapshot_rate *override_rates  # by override id


cdef struct snapshot_list:
    rl_view name
    rl_overrides *networks
    uint32_t slot
    uint16_t status
    uint8_t deny
    uint8_t shadow


# What leads to a ban: all that it asks for, within its window.
cdef struct snapshot_trigger:
    window_rule denials            # limit: how many; 0: none are asked for
    window_rule score              # limit: the sum of scores; 0: none is asked for
    uint32_t *limits               # indexes of the limits whose denials count, beside those of `limits_all`
    uint32_t limit_count
    uint8_t limits_all             # denials of every limit
    uint8_t scan                   # denials of the scan


cdef struct snapshot_penalty:
    rl_view name
    uint8_t identity[16]
    snapshot_key_part *key
    snapshot_trigger *triggers
    int64_t steps[BAN_MAX_STEPS]   # how long the first ban lasts, the second, ... in ms; the last one stands for all after it
    uint32_t key_count
    uint32_t trigger_count
    uint32_t step_count
    uint32_t forgive_ms
    uint32_t slot                  # where it is counted
    uint16_t status
    uint8_t shadow


cdef struct snapshot_profile:
    const waf_program *program
    uint32_t *rule_slots           # by first link: where its rule's matches are counted
    uint32_t body_limit
    uint16_t status                # of a denial whose rule names none
    uint8_t deny_partial_body


cdef struct snapshot_scan:
    snapshot_profile *profiles
    uint32_t profile_count
    rl_matcher *routes             # NULL: none
    uint8_t *route_modes           # plan.ScanMode by route
    uint32_t *route_profiles       # index by route
    uint8_t mode


cdef struct snapshot_domain:
    rl_view name
    uint32_t slot
    uint8_t identity[16]           # of limits that descriptors bring along
    rl_client_rule client
    snapshot_list *lists
    rl_matcher *list_matcher       # NULL: every list applies to every request
    snapshot_penalty *penalties
    rl_matcher *penalty_matcher    # NULL: no penalties
    snapshot_limit *limits
    rl_matcher *limit_matcher      # NULL: no limits
    snapshot_scan scan
    uint32_t list_count
    uint32_t limit_count
    uint32_t penalty_count
    uint8_t headers
    uint8_t shadow
    uint8_t all_or_none
    uint8_t always                 # what is denied counts too
    uint8_t answer_shadow          # ShouldRateLimit: statuses say what is over, the answer as a whole does not
    uint8_t replaces               # a limit replaces another
    uint8_t metadata
    uint8_t hash_keys


cdef struct snapshot:
    uint64_t generation
    snapshot_domain *domains
    rl_overrides *domain_names     # exact map: name -> index
    uint32_t domain_count
    uint8_t default_domain
    uint8_t unknown_domain_deny


cdef class Snapshot:
    cdef snapshot *data
    cdef list _blocks              # memory, and the bytes that views point into
    cdef list _owners              # matchers, maps and programs
    cdef list _faults              # while it is built: EngineErrors about patterns
    cdef dict programs             # id of a plan's Program -> its owner: to compare Programs takes milliseconds
    cdef readonly object plan
    cdef readonly int databases

    cdef void *_allocate(self, size_t count, size_t size) except NULL
    cdef rl_view _text(self, bytes text)


# The domain that a request names, the default one when it names none; NULL when there is no such domain.
cdef const snapshot_domain *snapshot_find(const snapshot *self, rl_view name) noexcept nogil

# Builds from a plan.Plan; generation is 0 until it is published. slot_of(kind, domain, name) gives the metric slot of a domain, limit, list, penalty
# or rule. programs: a dict from a plan's Programs to owners, reused when rules did not change. Raises EngineError.
cdef Snapshot snapshot_build(object plan, object slot_of, dict programs, object cache_dir)
