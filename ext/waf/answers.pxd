# What blocklists have said (@rbl): the answers of the DNS by name, and the questions that wait for one. Shared by all workers, bounded, reserved
# at once; no call allocates. A worker never waits for the network: of a name that it does not know it leaves a question, which the control
# plane takes, and goes on as if the name were not listed.
#
# A shard's lock is held for one call. A full group gives up an answer that is over, else one that says "not listed", else the one that ends first:
# a flood of new names does not free those who are listed.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.shard cimport rl_spin

cdef enum:
    ANSWER_NAME = 253             # bytes of a name, the longest that the DNS has
    ANSWER_QUESTIONS = 64         # of a shard, a power of two
    ANSWER_PATIENCE_MS = 15000    # a question that nobody has answered is asked again
    ANSWER_STALE_MS = 3600000     # for so long an answer that is over holds while it is asked again


cdef struct waf_answer:
    key_digest digest
    int64_t until_ms              # asked again from here on
    int64_t over_ms               # when the answer's own time was over
    uint32_t address              # IPv4, first byte highest; 0: not listed, or not known yet
    uint8_t used


cdef struct waf_question:
    key_digest digest
    uint8_t size
    uint8_t service               # where the blocklist's name begins
    char name[254]


cdef struct waf_answer_shard:
    rl_spin lock
    waf_answer *answers
    waf_question *questions       # a ring
    uint32_t head, tail
    uint64_t asked, dropped, live, evicted


cdef struct waf_answers:
    waf_answer_shard *shards
    uint32_t group_mask
    uint32_t turn                 # the shard whose questions are taken next
    void *memory
    size_t bytes


cdef struct waf_answers_stats:
    uint64_t answers, max_answers, evicted, asked, dropped


# Room for max_answers, rounded up; NULL: no memory.
cdef waf_answers *answers_new(uint64_t max_answers) noexcept nogil
cdef void answers_free(waf_answers *self) noexcept nogil
cdef void answers_stats(waf_answers *self, waf_answers_stats *out) noexcept nogil

# The address that a name has, 0 when it is not listed or not known. Leaves a question when nobody knows it yet, or not any more; look: it does not.
cdef uint32_t answers_find(
    waf_answers *self, const key_digest *digest, rl_view name, uint32_t service, int64_t now_ms, bint look) noexcept nogil
# What a question came to, for so long. 0: not listed.
cdef void answers_put(waf_answers *self, const key_digest *digest, uint32_t address, int64_t now_ms, int64_t for_ms) noexcept nogil
# The oldest question of a shard, of one after the other; 0: there is none. For one thread at a time.
cdef bint answers_take(waf_answers *self, waf_question *out) noexcept nogil
