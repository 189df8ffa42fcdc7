# What rules keep between requests: records of variables, one for each key of a collection (the IP 203.0.113.7 of domain "shop"). Shared by all
# workers. A record is found by the digest of domain, collection and key; it holds at most RECORD_VARIABLES variables and dies `timeout` seconds
# after its last change. Records and variables live in fixed arrays that are reserved at once and touched when they are used: no call allocates.
#
# A full table gives up a record that is dead, else one that waits for nothing (no variable of it is to expire: neither a block nor a burst is
# going on), else any; among those the one that has not changed for the longest. One lock for each shard, held for one call.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport rl_spin
from ratelimitd._ext.scan.arena cimport scan_arena

cdef enum:
    RECORD_VARIABLES = 64
    RECORD_NAME_BYTES = 64        # of a variable
    RECORD_VALUE_BYTES = 1024
    RECORD_WAYS = 8               # records of a group: where a digest may be
    RECORD_CELLS = 4              # cells for each record, on average
    CELL_TEXT = 32                # bytes of name and value in a variable's own cell
    MORE_TEXT = 60                # ... and in each that follows


cdef struct waf_record:
    key_digest digest
    int64_t waits_until_ms        # the last expiry of its variables
    uint32_t created_s, updated_s, timeout_s, updates
    uint32_t first                # cell of its first variable; 0: none
    uint32_t variables
    uint32_t used                 # 0: no record


# A variable; what does not fit goes on in a list of text cells. Cells are numbered from 1.
cdef struct waf_cell:
    uint32_t next                 # of the record's variables, or of the free ones
    uint32_t more                 # first text cell
    int64_t expires_ms            # 0: with the record
    int64_t number
    uint32_t since_s              # since when deprecatevar has not taken anything away
    uint8_t name_size, kind       # WAF_KEPT_*
    uint16_t value_size
    char text[32]                 # CELL_TEXT


cdef struct waf_text_cell:
    uint32_t next
    char text[60]                 # MORE_TEXT


cdef enum:
    WAF_KEPT_NOTHING = 0          # it has an expiry and no value
    WAF_KEPT_NUMBER = 1
    WAF_KEPT_TEXT = 2


cdef struct waf_shard:
    rl_spin lock
    waf_record *records
    waf_cell *cells
    uint32_t group_mask, record_count, cell_count
    uint32_t free, fresh          # first free cell; cells that were ever used
    uint32_t hand                 # where the search for a victim goes on
    uint64_t live, evicted


cdef struct waf_records:
    waf_shard *shards
    uint32_t shard_mask
    void *memory
    size_t bytes


# Who changes what, and when.
cdef struct waf_change:
    key_digest digest
    int64_t now_ms
    uint32_t timeout_s            # of a new record
    uint8_t first                 # the transaction's first change of this record
    rl_view name                  # bare and lower-case


cdef struct waf_kept:
    rl_view name                  # with the prefix that was asked for
    rl_view text
    int64_t number
    uint8_t kind


cdef struct waf_record_facts:
    uint32_t created_s, updated_s, timeout_s, updates
    uint8_t known                 # 0: there is no such record


cdef struct waf_records_stats:
    uint64_t records, max_records, evicted, bytes


# Room for about max_records, rounded up; NULL: no memory.
cdef waf_records *records_new(uint64_t max_records) noexcept nogil
cdef void records_free(waf_records *self) noexcept nogil
cdef void records_stats(waf_records *self, waf_records_stats *out) noexcept nogil

# The record's live variables into out (RECORD_VARIABLES of room), texts into the memory. Their count, or -1: no memory.
cdef int records_load(
    waf_records *self, const key_digest *digest, int64_t now_ms, rl_view prefix, scan_arena *memory, waf_kept *out, waf_record_facts *facts) noexcept nogil

# Each makes the record and the variable when there is none. 0: no room, or a name or value that is too long; nothing has changed then.
cdef bint records_set(waf_records *self, const waf_change *change, rl_view text) noexcept nogil
# *sum: what it is afterwards.
cdef bint records_add(waf_records *self, const waf_change *change, int64_t delta, int64_t *sum) noexcept nogil
cdef bint records_expire(waf_records *self, const waf_change *change, int64_t seconds) noexcept nogil
# Of the record itself.
cdef bint records_timeout(waf_records *self, const waf_change *change, int64_t seconds) noexcept nogil
# These make none. Takes `amount` away for every `seconds` that have gone by, down to 0. 0: there is no such number.
cdef bint records_deprecate(waf_records *self, const waf_change *change, int64_t amount, int64_t seconds, int64_t *left) noexcept nogil
cdef void records_unset(waf_records *self, const waf_change *change) noexcept nogil
