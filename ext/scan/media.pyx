from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcmp, strlen

from ratelimitd._ext.bytes.multipart cimport RL_BOUNDARY_BYTES, rl_multipart_boundary
from ratelimitd._ext.core cimport rl_request, rl_view


cdef bint is_space(char c) noexcept nogil:
    return c == c' ' or c'\t' <= c <= c'\r'


cdef rl_view trimmed(rl_view text) noexcept nogil:
    while text.size and is_space(text.data[0]):
        text.data += 1
        text.size -= 1
    while text.size and is_space(text.data[text.size - 1]):
        text.size -= 1
    return text


cdef rl_view part(rl_view text, uint32_t begin, uint32_t size) noexcept nogil:
    cdef rl_view result
    result.data = text.data + begin
    result.size = size
    return result


cdef bint same(rl_view text, const char *word) noexcept nogil:
    """Equal but for ASCII case; word is lower-case."""
    cdef uint32_t i
    if strlen(word) != text.size:
        return False
    for i in range(text.size):
        if (text.data[i] + 32 if c'A' <= text.data[i] <= c'Z' else text.data[i]) != word[i]:
            return False
    return True


cdef bint starts(rl_view text, const char *word) noexcept nogil:
    cdef uint32_t size = <uint32_t>strlen(word)
    return text.size >= size and same(part(text, 0, size), word)


cdef bint ends(rl_view text, const char *word) noexcept nogil:
    cdef uint32_t size = <uint32_t>strlen(word)
    return text.size >= size and same(part(text, text.size - size, size), word)


cdef uint32_t media_of(rl_view content_type) noexcept nogil:
    cdef uint32_t size = 0
    cdef rl_view essence
    while size < content_type.size and content_type.data[size] != c';' and content_type.data[size] != c',':
        size += 1
    essence = trimmed(part(content_type, 0, size))
    if same(essence, "application/x-www-form-urlencoded"):
        return MEDIA_FORM
    if starts(essence, "multipart/"):
        return MEDIA_MULTIPART
    if ends(essence, "json"):   # application/json, text/json, application/problem+json, ...
        return MEDIA_JSON
    return MEDIA_OTHER if essence.size else 0


cdef uint32_t media_declared(const rl_request *request, rl_view *boundary, bint *encoded, bint *doubtful) noexcept nogil:
    cdef uint32_t declared = 0
    cdef uint32_t media
    cdef uint32_t i
    cdef uint32_t types = 0
    cdef rl_view name
    cdef rl_view value
    boundary.size = 0
    encoded[0] = doubtful[0] = False
    for i in range(request.header_count):
        name = request.headers[i].name
        value = request.headers[i].value
        if name.size == 16 and memcmp(name.data, b"content-encoding", 16) == 0:
            encoded[0] = not same(trimmed(value), "identity")
        if name.size != 12 or memcmp(name.data, b"content-type", 12) != 0:
            continue
        types += 1
        media = media_of(value)
        declared |= media
        if media == MEDIA_MULTIPART and boundary.size == 0 and rl_multipart_boundary(value, boundary) < 0:
            doubtful[0] = True
        if value.size and memchr(value.data, c',', value.size) and media != MEDIA_MULTIPART:
            doubtful[0] = True
    if types > 1:
        doubtful[0] = True
    return declared


cdef uint32_t media_looks(rl_view body, rl_view *boundary) noexcept nogil:
    cdef uint32_t i = 0
    cdef uint32_t end
    if body.size >= 3 and memcmp(body.data, b"\xef\xbb\xbf", 3) == 0:
        i = 3
    while i < body.size and is_space(body.data[i]):
        i += 1
    if i == body.size:
        return 0
    if body.data[i] == c'{' or body.data[i] == c'[':
        return MEDIA_JSON
    if body.size - i < 3 or body.data[i] != c'-' or body.data[i + 1] != c'-':
        return 0
    end = i + 2
    while end < body.size and not is_space(body.data[end]):
        end += 1
    boundary[0] = part(body, i + 2, end - i - 2)
    return MEDIA_MULTIPART if 0 < boundary.size <= RL_BOUNDARY_BYTES and end < body.size else 0
