"""Operators, PCRE2 and libinjection for tests."""
from libc.stdint cimport uint32_t

from ratelimitd._ext.bytes.injection cimport (
    rl_benign_sqli, rl_benign_xss, rl_detect_sqli, rl_detect_xss, rl_injection_load, rl_injection_loaded,
)
from ratelimitd._ext.bytes.operators cimport (
    rl_byte_set, rl_byte_set_parse, rl_ip_range, rl_ip_range_next, rl_is_card, rl_is_cpf, rl_is_ssn, rl_is_svnr, rl_op_bad_url_encoding,
    rl_op_bad_utf8, rl_op_begins_with, rl_op_contains, rl_op_contains_word, rl_op_ends_with, rl_op_int, rl_op_ip_match, rl_op_long,
    rl_op_outside, rl_op_streq, rl_op_within,
)
from ratelimitd._ext.bytes.pcre cimport (
    RL_PCRE_CASELESS, RL_PCRE_GROUPS, rl_pcre, rl_pcre_compile, rl_pcre_free, rl_pcre_match, rl_pcre_next, rl_pcre_scratch,
    rl_pcre_scratch_free, rl_pcre_scratch_new, rl_pcre_verify, rl_span,
)
from ratelimitd._ext.core cimport rl_view

ctypedef int (*TextOperator)(rl_view text, rl_view param) noexcept nogil
ctypedef int (*Check)(rl_view text) noexcept nogil

cdef enum:
    RANGES = 64


cdef rl_view view_of(bytes text) except *:
    cdef rl_view view
    view.data = <const char *>text
    view.size = <uint32_t>len(text)
    return view


cdef TextOperator text_operator(str name) except NULL:
    if name == "beginsWith":
        return rl_op_begins_with
    if name == "endsWith":
        return rl_op_ends_with
    if name in ("contains", "strmatch"):
        return rl_op_contains
    if name == "containsWord":
        return rl_op_contains_word
    if name == "streq":
        return rl_op_streq
    if name == "within":
        return rl_op_within
    raise KeyError(name)


cdef Check check_of(str name) except NULL:
    if name == "validateUrlEncoding":
        return rl_op_bad_url_encoding
    if name == "validateUtf8Encoding":
        return rl_op_bad_utf8
    if name == "verifyCC":
        return rl_is_card
    if name == "verifyCPF":
        return rl_is_cpf
    if name == "verifySSN":
        return rl_is_ssn
    if name == "verifySVNR":
        return rl_is_svnr
    if name == "benignSQLi":
        return rl_benign_sqli
    if name == "benignXSS":
        return rl_benign_xss
    raise KeyError(name)


def text(str name, bytes value, bytes param) -> bool:
    return bool(text_operator(name)(view_of(value), view_of(param)))


def check(str name, bytes value) -> bool:
    return bool(check_of(name)(view_of(value)))


def integer(bytes value) -> int:
    return rl_op_int(view_of(value))


def long_integer(bytes value) -> int:
    return rl_op_long(view_of(value))


def outside(bytes value, bytes param) -> tuple[bool, int]:
    """Whether a byte is outside, and how many parts of the param are no range."""
    cdef rl_byte_set allowed
    bad = rl_byte_set_parse(view_of(param), &allowed)
    return bool(rl_op_outside(view_of(value), &allowed)), bad


def ip_match(bytes value, bytes param) -> bool | None:
    """None when a part of the param is no network."""
    cdef rl_ip_range ranges[RANGES]
    cdef uint32_t cursor = 0
    cdef uint32_t count = 0
    cdef int status = 1
    while count < <uint32_t>RANGES:
        status = rl_ip_range_next(view_of(param), &cursor, &ranges[count])
        if status != 1:
            break
        count += 1
    return None if status < 0 else bool(rl_op_ip_match(view_of(value), ranges, count))


def injection_load(bytes path) -> str | None:
    cdef char error[256]
    return None if rl_injection_load(path, error, sizeof(error)) else (<bytes>error).decode()


def injection_loaded() -> bool:
    return bool(rl_injection_loaded())


def sqli(bytes value) -> bytes | None:
    cdef char fingerprint[8]
    return <bytes>fingerprint if rl_detect_sqli(view_of(value), fingerprint) else None


def xss(bytes value) -> bool:
    return bool(rl_detect_xss(view_of(value)))


cdef class Pattern:
    cdef rl_pcre *code
    cdef rl_pcre_scratch *scratch

    def __cinit__(self, bytes pattern, *, bint caseless=False, uint32_t match_limit=100_000):
        cdef char error[256]
        cdef uint32_t at = 0
        self.code = rl_pcre_compile(view_of(pattern), RL_PCRE_CASELESS if caseless else 0, error, sizeof(error), &at)
        if self.code == NULL:
            raise ValueError(f"{(<bytes>error).decode()} at {at}")
        self.scratch = rl_pcre_scratch_new(match_limit)
        if self.scratch == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.code != NULL:
            rl_pcre_free(self.code)
        rl_pcre_scratch_free(self.scratch)

    def match(self, bytes value) -> list[bytes | None] | int:
        """The groups, or why there are none."""
        cdef rl_span spans[RL_PCRE_GROUPS]
        cdef int groups = rl_pcre_match(self.code, self.scratch, view_of(value), 0, spans)
        return groups if groups <= 0 else [spans_text(value, spans[i]) for i in range(groups)]

    def all(self, bytes value) -> list[bytes | None] | int:
        cdef rl_span spans[RL_PCRE_GROUPS]
        cdef uint32_t cursor = 0
        found = []
        while True:
            groups = rl_pcre_next(self.code, self.scratch, view_of(value), &cursor, spans)
            if groups <= 0:
                return found if groups == 0 else groups
            found += [spans_text(value, spans[i]) for i in range(groups)]

    def verify(self, bytes value, str name) -> bytes | int:
        cdef rl_span found
        cdef int status = rl_pcre_verify(self.code, self.scratch, view_of(value), check_of(name), &found)
        return value[found.begin:found.end] if status > 0 else status


cdef object spans_text(bytes value, rl_span span):
    return value[span.begin:span.end] if span.begin <= span.end else None
