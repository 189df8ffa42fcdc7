"""From a request to the counter that a limit keeps for it."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from ratelimitd._ext.bytes.address cimport rl_address
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest, key_hash, key_secret
from ratelimitd._ext.match.attributes cimport RL_SOURCE_CONSTANT, RL_SOURCE_PATH_PARAM, rl_attributes_get
from ratelimitd._ext.match.matcher cimport rl_matcher, rl_matcher_param, rl_overrides_find
from ratelimitd._ext.snapshot cimport SNAPSHOT_MAX_KEY_PARTS, snapshot_domain, snapshot_key_part, snapshot_limit, snapshot_rate
from ratelimitd._ext.worker cimport check_worker


cdef bint key_parts(check_worker *mine, const snapshot_domain *domain, uint32_t id, rl_view *parts) noexcept nogil:
    """The values of a limit's key. 0 when one is missing and the limit then does not apply."""
    cdef const snapshot_limit *limit = &domain.limits[id]
    return key_values(mine, domain.limit_matcher, id, limit.key, limit.key_count, limit.skip_missing_key, parts)


cdef bint key_values(
    check_worker *mine, const rl_matcher *matcher, uint32_t id, const snapshot_key_part *key, uint32_t count, bint skip_missing, rl_view *parts
) noexcept nogil:
    cdef uint32_t index
    cdef int present, source
    for index in range(count):
        source = key[index].source
        if source == RL_SOURCE_CONSTANT:
            parts[index] = key[index].name
            continue
        if source == RL_SOURCE_PATH_PARAM:
            present = rl_matcher_param(matcher, id, mine.attributes, key[index].name, &parts[index])
        else:
            present = rl_attributes_get(mine.attributes, source, key[index].name, &parts[index])
        if not present:
            if skip_missing:
                return False
            parts[index].data = NULL
            parts[index].size = 0
    return True


cdef void key_digest_of(const key_secret *secret, const snapshot_limit *limit, const rl_view *parts, key_digest *out) noexcept nogil:
    key_identify(secret, limit.identity, parts, limit.key_count, out)


cdef void key_identify(const key_secret *secret, const uint8_t *identity, const rl_view *parts, uint32_t count, key_digest *out) noexcept nogil:
    """Lengths go in with the parts, so that ("ab", "c") and ("a", "bc") differ."""
    cdef char text[16 + SNAPSHOT_MAX_KEY_PARTS * (4 + KEY_PART_MAX)]
    cdef key_digest long_part
    cdef uint32_t index
    cdef size_t size = 16
    memcpy(text, identity, 16)
    for index in range(count):
        memcpy(text + size, &parts[index].size, 4)
        size += 4
        if parts[index].size <= KEY_PART_MAX:
            if parts[index].size:
                memcpy(text + size, parts[index].data, parts[index].size)
            size += parts[index].size
        else:
            key_hash(secret, parts[index].data, parts[index].size, &long_part)
            memcpy(text + size, &long_part, sizeof(long_part))
            size += sizeof(long_part)
    key_hash(secret, text, size, out)


cdef rl_view key_join(const rl_view *parts, uint32_t count, char *room) noexcept nogil:
    """The parts joined by "|", cut at KEY_TEXT_MAX; one part alone is not copied."""
    cdef rl_view text
    cdef uint32_t index, size = 0, take
    if count == 1:
        return parts[0]
    for index in range(count):
        if index and size < KEY_TEXT_MAX:
            room[size] = c"|"
            size += 1
        take = min(parts[index].size, <uint32_t>KEY_TEXT_MAX - size)
        if take:
            memcpy(room + size, parts[index].data, take)
        size += take
    text.data = room
    text.size = size
    return text


cdef const snapshot_rate *key_rate(const snapshot_limit *limit, rl_view text, const rl_address *client) noexcept nogil:
    cdef int64_t index
    if limit.overrides == NULL:
        return &limit.rate
    index = rl_overrides_find(limit.overrides, text, client)
    if index < 0:
        return &limit.rate
    return &limit.override_rates[index]
