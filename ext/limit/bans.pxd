# Who is banned until when, and how often before: a chained hash table with a hard cap, shared by workers and the control plane.
#
# A key that has no record costs one load without a lock. A record stays after its ban until it is forgiven, since the next ban depends on it.
# When the table is full, records that say nothing any more go first, then those whose ban is over (`forgotten`), and only when every record
# is a ban that lasts, the one that ends soonest of a few (`evicted`). Of two accounts of one key, on one node or on many, the later one is
# true, and of the same millisecond the stricter: so nodes agree in whatever order they hear of each other.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimitd._ext.limit.key cimport key_digest


cdef enum:
    BAN_NAME_MAX = 64
    BAN_KEY_MAX = 125
    BAN_MAX_STEPS = 8


# What is known of a key. Times are milliseconds since the epoch.
cdef struct ban:
    key_digest digest
    int64_t until_ms      # banned until then
    int64_t changed_ms    # when that was said; names the bout of denials that count towards the next ban
    int64_t quiet_ms      # the end of the ban, or the last denial after it: good behaviour is counted from here
    uint32_t forgive_ms   # of good behaviour, for each level
    uint32_t level        # bans that are not forgiven


# Of whom, for people. Not ended by a zero.
cdef struct ban_text:
    uint8_t domain_size, name_size, key_size
    char domain[BAN_NAME_MAX]
    char name[BAN_NAME_MAX]
    char key[BAN_KEY_MAX]


cdef struct ban_stats:
    uint64_t banned, records, max_bans
    uint64_t made         # here
    uint64_t evicted, forgotten
    uint64_t untold       # changes that bans_told has not given out


cdef struct ban_table     # opaque


# max_bans: 1 to 16777216. NULL when out of memory.
cdef ban_table *bans_new(uint64_t max_bans) noexcept nogil
cdef void bans_free(ban_table *table) noexcept nogil

# Is anything known of anybody?
cdef bint bans_any(const ban_table *table) noexcept nogil

# What is known of a key: 0 when nothing is that still counts. The level is what is left of it now.
cdef bint bans_find(ban_table *table, const key_digest *digest, int64_t now_ms, ban *out) noexcept nogil

# A denial that counts: good behaviour begins anew.
cdef void bans_renew(ban_table *table, const key_digest *digest, int64_t now_ms) noexcept nogil

# Bans for as long as the key's level says, and raises it: 1 and *out. 0 when it is banned already.
cdef bint bans_raise(ban_table *table, const key_digest *digest, const ban_text *text, const int64_t *steps, uint32_t step_count, uint32_t forgive_ms, int64_t now_ms, ban *out) noexcept nogil

# Takes an account of a key (ours, made by hand, or another node's), if it is the later one: 1, or 0 when it is not or says nothing any more.
# told: it need not be told to others.
cdef bint bans_put(ban_table *table, const ban *account, const ban_text *text, bint told, int64_t now_ms) noexcept nogil

# The next record at or after number *at that still counts; 0 when there is none. Moves *at behind it.
cdef bint bans_next(ban_table *table, uint32_t *at, int64_t now_ms, ban *out, ban_text *text) noexcept nogil

# The same of records that changed here and were not told. They are told then.
cdef bint bans_told(ban_table *table, uint32_t *at, ban *out, ban_text *text) noexcept nogil

# Everything that still counts has to be told again: who had heard of it forgot.
cdef void bans_retell(ban_table *table, int64_t now_ms) noexcept nogil

cdef void bans_get_stats(ban_table *table, int64_t now_ms, ban_stats *out) noexcept nogil
