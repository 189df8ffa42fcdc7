# Keys: the parts of a limit's key in a request, their text, the digest that names the counter, the rate that applies.
from libc.stdint cimport uint8_t, uint32_t

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest, key_secret
from ratelimitd._ext.match.matcher cimport rl_matcher
from ratelimitd._ext.snapshot cimport snapshot_domain, snapshot_key_part, snapshot_limit, snapshot_rate
from ratelimitd._ext.worker cimport check_worker


cdef enum:
    KEY_PART_MAX = 256        # longer parts enter the digest as their own digest
    KEY_TEXT_MAX = 512        # of the joined text; overrides and logs see no more


# The values of the key of limit `id`. 0 when one is missing and the limit then does not apply.
cdef bint key_parts(check_worker *mine, const snapshot_domain *domain, uint32_t id, rl_view *parts) noexcept nogil
# The same of any key; id: whose it is, among the entries of matcher.
cdef bint key_values(
    check_worker *mine, const rl_matcher *matcher, uint32_t id, const snapshot_key_part *key, uint32_t count, bint skip_missing, rl_view *parts
) noexcept nogil
# The parts joined by "|", in room[KEY_TEXT_MAX]; one part alone is not copied.
cdef rl_view key_join(const rl_view *parts, uint32_t count, char *room) noexcept nogil
# The digest of a limit's key from its parts' values (a missing part is an empty view).
cdef void key_digest_of(const key_secret *secret, const snapshot_limit *limit, const rl_view *parts, key_digest *out) noexcept nogil
# The same for any 16 bytes of identity.
cdef void key_identify(const key_secret *secret, const uint8_t *identity, const rl_view *parts, uint32_t count, key_digest *out) noexcept nogil
# The rate of a key: the limit's own or an override's. text: the parts joined.
cdef const snapshot_rate *key_rate(const snapshot_limit *limit, rl_view text, const rl_address *client) noexcept nogil
