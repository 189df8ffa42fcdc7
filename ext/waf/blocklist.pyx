"""What is asked for is the address backwards, below the blocklist's name: 7.113.0.203.bl.example, or the nibbles of an IPv6 address (RFC 5782).
A name is asked for as it stands. Project Honey Pot's list (httpBL, https://www.projecthoneypot.org/httpbl_api.php) wants a key in front, knows IPv4
alone, and says in the answer what it knows of the address.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, strlen

from ratelimitd._ext.bytes.address cimport rl_address, rl_address_is_ipv4, rl_address_parse
from ratelimitd._ext.bytes.operators cimport rl_op_contains
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.limit.key cimport key_digest, key_hash
from ratelimitd._ext.scan.arena cimport arena_commit, arena_reserve
from ratelimitd._ext.waf.answers cimport ANSWER_NAME, answers_find
from ratelimitd._ext.waf.layout cimport waf_link, waf_scratch
from ratelimitd._ext.waf.store cimport value_set_text

cdef extern from *:
    """
    // By the type in an httpBL answer: visitors that it has seen. The words are ModSecurity 2's, which rules match.
    static const char *const honeypot_kinds[] = {
        "Search Engine",     "Suspicious IP",
        "Harvester IP",      "Suspicious harvester IP",
        "Comment spammer IP", "Suspicious comment spammer IP",
        "Harvester and comment spammer IP", "Suspicious harvester comment spammer IP",
    };
    """
    const char **honeypot_kinds

cdef enum:
    MESSAGE_BYTES = 512
    LABEL_BYTES = 63
    KINDS = 8

cdef const char *HEX = "0123456789abcdef"
cdef rl_view HONEYPOT = rl_view("httpbl.org", 10)


# ---- text of bounded size

cdef struct line:
    char *data
    uint32_t size, room
    bint cut                     # something did not fit


cdef void add(line *out, const char *data, uint32_t size) noexcept nogil:
    if size > out.room - out.size:
        out.cut = True
        return
    memcpy(out.data + out.size, data, size)
    out.size += size


cdef void add_text(line *out, const char *text) noexcept nogil:
    add(out, text, <uint32_t>strlen(text))


cdef void add_number(line *out, uint32_t number) noexcept nogil:
    cdef char digits[10]
    cdef uint32_t at = 10
    while True:
        at -= 1
        digits[at] = <char>(c'0' + number % 10)
        number //= 10
        if number == 0:
            break
    add(out, digits + at, 10 - at)


# ---- the name

cdef void add_backwards(line *out, const rl_address *address) noexcept nogil:
    cdef uint32_t i
    cdef uint8_t byte
    cdef char nibbles[4]
    if rl_address_is_ipv4(address):
        for i in range(4):
            add_number(out, address.bytes[15 - i])
            add(out, ".", 1)
        return
    nibbles[1] = nibbles[3] = c'.'
    for i in range(16):
        byte = address.bytes[15 - i]
        nibbles[0] = HEX[byte & 15]
        nibbles[2] = HEX[byte >> 4]
        add(out, nibbles, 4)


cdef bint add_host(line *out, rl_view name) noexcept nogil:
    """A host's name, lower-case. 0: it is none."""
    cdef uint32_t i
    cdef uint32_t label = 0
    cdef char c
    if name.size and name.data[name.size - 1] == c'.':
        name.size -= 1
    if name.size == 0 or name.size > ANSWER_NAME:
        return False
    for i in range(name.size):
        c = name.data[i]
        if c'A' <= c <= c'Z':
            c += 32
        label = label + 1 if c != c'.' else 0
        if label > LABEL_BYTES or c == c'.' and (i == 0 or name.data[i - 1] == c'.'):
            return False
        if not (c'a' <= c <= c'z' or c'0' <= c <= c'9' or c == c'-' or c == c'_' or c == c'.'):
            return False
        add(out, &c, 1)
    add(out, ".", 1)
    return True


cdef bint name_of(waf_scratch *scratch, rl_view service, rl_view value, bint honeypot, line *out, uint32_t *public, uint32_t *end) noexcept nogil:
    """What is asked for. public: where it begins without a key; end: where the blocklist's name begins. 0: it cannot be listed."""
    cdef rl_address address
    cdef rl_view key = scratch.program.blocklist_key
    cdef bint numeric = rl_address_parse(value, &address) != 0
    if honeypot:
        if not numeric or not rl_address_is_ipv4(&address):
            return False
        add(out, key.data, key.size)
        add(out, ".", 1)
    public[0] = out.size
    if numeric:
        add_backwards(out, &address)
    elif not add_host(out, value):
        return False
    end[0] = out.size
    add(out, service.data, service.size)
    return not out.cut


# ---- what is told

cdef void tell(waf_scratch *scratch, rl_view name, uint32_t answer) noexcept nogil:
    """ModSecurity 2's message. Of httpBL: rules of the Core Rule Set take the kind of visitor from it, and want "TX:checkip" there."""
    cdef line out
    out.data = arena_reserve(&scratch.memory, MESSAGE_BYTES)
    out.size = 0
    out.room = MESSAGE_BYTES
    out.cut = False
    if out.data == NULL:
        scratch.out.error = 1
        return
    add_text(&out, "RBL lookup of ")
    add(&out, name.data, name.size)
    add_text(&out, " succeeded at TX:checkip. ")
    if answer & 255 < KINDS:
        add_text(&out, honeypot_kinds[answer & 255])
    add_text(&out, ": ")
    add_number(&out, answer >> 16 & 255)
    add_text(&out, " days since last activity, threat score ")
    add_number(&out, answer >> 8 & 255)
    arena_commit(&scratch.memory, out.size)
    value_set_text(&scratch.store[0], rl_view(out.data, out.size))


cdef bint blocklist_has(waf_scratch *scratch, const waf_link *link, rl_view service, rl_view value) noexcept nogil:
    cdef char room[253]          # ANSWER_NAME
    cdef const char *name = room
    cdef line out
    cdef uint32_t public
    cdef uint32_t end
    cdef uint32_t answer
    cdef key_digest digest
    cdef bint honeypot = rl_op_contains(service, HONEYPOT)
    out.data = room
    out.size = 0
    out.room = ANSWER_NAME
    out.cut = False
    if scratch.moment.answers == NULL or not name_of(scratch, service, value, honeypot, &out, &public, &end):
        return False
    key_hash(scratch.moment.secret, name, out.size, &digest)
    answer = answers_find(scratch.moment.answers, &digest, rl_view(name, out.size), end, scratch.moment.now_ms, scratch.moment.dry_run)
    if answer == 0:
        return False
    if link.capture and honeypot:
        tell(scratch, rl_view(name + public, out.size - public), answer)
    elif link.capture:
        value_set_text(&scratch.store[0], value)
    return True
