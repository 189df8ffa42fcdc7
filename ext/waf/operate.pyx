from libc.stdint cimport int64_t, uint32_t

from ratelimitd._ext.bytes.injection cimport rl_detect_sqli, rl_detect_xss, rl_injection_load, rl_injection_loaded
from ratelimitd._ext.bytes.operators cimport *
from ratelimitd._ext.bytes.pcre cimport RL_PCRE_GROUPS, rl_pcre, rl_pcre_match, rl_pcre_next, rl_pcre_verify, rl_span
from ratelimitd._ext.core cimport rl_view
from ratelimitd._ext.scan.hs cimport hs_database_t, hs_scan
from ratelimitd._ext.waf.constants cimport *
from ratelimitd._ext.waf.blocklist cimport blocklist_has
from ratelimitd._ext.waf.layout cimport WAF_CAPTURES, waf_link, waf_scratch
from ratelimitd._ext.waf.places cimport places_find
from ratelimitd._ext.waf.store cimport value_set_text

from ratelimitd.errors import EngineError
from ratelimitd.waf.injection import injection_library


cdef bint finds(waf_scratch *scratch, const rl_pcre *regex, rl_view text) noexcept nogil:
    cdef rl_span spans[RL_PCRE_GROUPS]
    cdef int found = rl_pcre_match(regex, scratch.pcre, text, 0, spans)
    if found < 0:
        scratch.out.error = 1
    return found > 0


cdef void store_captures(waf_scratch *scratch, rl_view text, const rl_span *spans, int count) noexcept nogil:
    """TX:0 to TX:9: the groups that took part."""
    cdef int i
    for i in range(min(count, <int>WAF_CAPTURES)):
        if spans[i].begin <= spans[i].end:
            value_set_text(&scratch.store[i], rl_view(text.data + spans[i].begin, spans[i].end - spans[i].begin))


cdef bint run_regex(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil:
    cdef rl_span spans[RL_PCRE_GROUPS]
    cdef int found = rl_pcre_match(link.regex, scratch.pcre, value, 0, spans)
    if found < 0:
        scratch.out.error = 1
        return False
    if found > 0 and link.capture:
        store_captures(scratch, value, spans, found)
    return found > 0


cdef bint run_global(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil:
    """@rxGlobal: the captures are those of all matches in a row."""
    cdef rl_span spans[RL_PCRE_GROUPS]
    cdef uint32_t cursor = 0
    cdef uint32_t stored = 0
    cdef int found
    cdef int i
    while True:
        found = rl_pcre_next(link.regex, scratch.pcre, value, &cursor, spans)
        if found <= 0:
            break
        for i in range(found):
            if link.capture and stored < WAF_CAPTURES and spans[i].begin <= spans[i].end:
                value_set_text(&scratch.store[stored], rl_view(value.data + spans[i].begin, spans[i].end - spans[i].begin))
            stored += 1
    if found < 0:
        scratch.out.error = 1
    return stored > 0


cdef bint verify(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil:
    cdef rl_span span
    cdef int found
    if link.op == WAF_OP_VERIFY_CC:
        found = rl_pcre_verify(link.regex, scratch.pcre, value, rl_is_card, &span)
    elif link.op == WAF_OP_VERIFY_CPF:
        found = rl_pcre_verify(link.regex, scratch.pcre, value, rl_is_cpf, &span)
    elif link.op == WAF_OP_VERIFY_SSN:
        found = rl_pcre_verify(link.regex, scratch.pcre, value, rl_is_ssn, &span)
    else:
        found = rl_pcre_verify(link.regex, scratch.pcre, value, rl_is_svnr, &span)
    if found < 0:
        scratch.out.error = 1
    if found > 0 and link.capture:
        store_captures(scratch, value, &span, 1)
    return found > 0


cdef bint is_sqli(rl_view text) noexcept nogil:
    cdef char fingerprint[8]
    return rl_detect_sqli(text, fingerprint) != 0


cdef bint is_xss(rl_view text) noexcept nogil:
    return rl_detect_xss(text) != 0


cdef injection_open():
    cdef char error[256]
    if rl_injection_loaded():
        return
    path = injection_library().encode()
    if not rl_injection_load(path, error, sizeof(error)):
        raise EngineError(f"libinjection: {error.decode('utf-8', 'replace')}")


cdef void capture(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil:
    if not link.capture:
        return
    if link.regex != NULL:
        run_regex(scratch, link, value)
    else:
        value_set_text(&scratch.store[0], value)


cdef int on_phrase(unsigned int id, unsigned long long start, unsigned long long end, unsigned int flags, void *found) noexcept nogil:
    (<bint *>found)[0] = True
    return 1


cdef bint holds_phrase(waf_scratch *scratch, const waf_link *link, rl_view value) noexcept nogil:
    cdef bint found = False
    if link.phrases != NULL and value.size:
        hs_scan(<hs_database_t *>link.phrases.thing, value.data, value.size, 0, scratch.hs, on_phrase, &found)
    return found


cdef bint compares(const waf_link *link, rl_view argument, rl_view value) noexcept nogil:
    cdef int64_t number
    cdef int64_t wanted
    if link.op == WAF_OP_EQ:
        return rl_op_int(value) == rl_op_int(argument)
    number = rl_op_long(value)
    wanted = rl_op_long(argument)
    if link.op == WAF_OP_GE:
        return number >= wanted
    if link.op == WAF_OP_GT:
        return number > wanted
    return number <= wanted if link.op == WAF_OP_LE else number < wanted


cdef bint matches(waf_scratch *scratch, const waf_link *link, rl_view argument, rl_view value) noexcept nogil:
    if link.op == WAF_OP_RX:
        return run_regex(scratch, link, value)
    if WAF_OP_EQ <= link.op <= WAF_OP_LT:
        return compares(link, argument, value)
    if link.op == WAF_OP_UNCONDITIONAL:
        return True
    if link.op == WAF_OP_PHRASES:
        return holds_phrase(scratch, link, value)
    if link.op == WAF_OP_STREQ:
        return rl_op_streq(value, argument)
    if link.op == WAF_OP_CONTAINS or link.op == WAF_OP_STRMATCH:
        return rl_op_contains(value, argument)
    if link.op == WAF_OP_BEGINS_WITH:
        return rl_op_begins_with(value, argument)
    if link.op == WAF_OP_ENDS_WITH:
        return rl_op_ends_with(value, argument)
    if link.op == WAF_OP_WITHIN:
        return rl_op_within(value, argument)
    if link.op == WAF_OP_CONTAINS_WORD:
        return rl_op_contains_word(value, argument)
    if link.op == WAF_OP_IP_MATCH:
        return rl_op_ip_match(value, link.networks.ranges, link.networks.count)
    if link.op == WAF_OP_VALIDATE_BYTE_RANGE:
        return rl_op_outside(value, link.bytes)
    if link.op == WAF_OP_VALIDATE_URL_ENCODING:
        return rl_op_bad_url_encoding(value)
    if link.op == WAF_OP_VALIDATE_UTF8_ENCODING:
        return rl_op_bad_utf8(value)
    if link.op == WAF_OP_DETECT_SQLI:
        return is_sqli(value)
    if link.op == WAF_OP_DETECT_XSS:
        return is_xss(value)
    if link.op == WAF_OP_RX_GLOBAL:
        return run_global(scratch, link, value)
    if WAF_OP_VERIFY_CC <= link.op <= WAF_OP_VERIFY_SVNR:
        return verify(scratch, link, value)
    if link.op == WAF_OP_GEO_LOOKUP:
        return places_find(scratch, value)
    if link.op == WAF_OP_BLOCKLIST:
        return blocklist_has(scratch, link, argument, value)
    return False


cdef bint operate(waf_scratch *scratch, const waf_link *link, rl_view argument, rl_view value) noexcept nogil:
    return matches(scratch, link, argument, value) != link.negated
