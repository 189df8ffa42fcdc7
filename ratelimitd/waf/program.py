"""The compiled form of a rule set, as the engine takes it: links in the order in which they run.

A *link* is one SecRule or SecAction. A chain is several links in a row, all but the last with `chained`; what the
language says of the chain as a whole (id, phase, skip, decision) stands in its first link. Names are lower-case where
case does not matter. What is constant has been folded away: a link that is here may still run, and a marker is an
index.

The numbers of the enums are the engine's (ext/waf/constants.h).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ratelimitd.waf.transformation import Transformation


class Variable(IntEnum):
    """What a selector looks at. First the sources, where values come from; the rest is derived or computed."""

    ARGS_GET = 0
    ARGS_POST = 1
    REQUEST_HEADERS = 2
    REQUEST_COOKIES = 3
    FILES = 4  # name: the part's, value: the file's
    FILES_SIZES = 5
    FILES_NAMES = 6  # value: the part's name
    MULTIPART_FILENAME = 7
    MULTIPART_NAME = 8
    MULTIPART_PART_HEADERS = 9  # name: the part's, value: "Content-Type: text/plain"
    XML_TEXT = 10  # XML:/*
    XML_ATTRIBUTES = 11  # XML://@*
    RESPONSE_HEADERS = 12
    REQUEST_METHOD = 13
    REQUEST_URI = 14
    REQUEST_URI_RAW = 15
    REQUEST_FILENAME = 16
    REQUEST_BASENAME = 17
    REQUEST_LINE = 18
    REQUEST_PROTOCOL = 19
    QUERY_STRING = 20
    REQUEST_BODY = 21
    RESPONSE_BODY = 22
    RESPONSE_STATUS = 23
    RESPONSE_PROTOCOL = 24
    RESPONSE_CONTENT_TYPE = 25
    REMOTE_ADDR = 26
    SERVER_NAME = 27
    UNIQUE_ID = 28
    PATH_INFO = 29
    RAW_PATH = 30  # as sent, no query; not in SecLang
    RAW_BODY = 31  # always there, however it is read; not in SecLang

    ARGS = 32
    ARGS_NAMES = 33
    ARGS_GET_NAMES = 34
    ARGS_POST_NAMES = 35
    REQUEST_HEADERS_NAMES = 36
    REQUEST_COOKIES_NAMES = 37
    RESPONSE_HEADERS_NAMES = 38
    ARGS_COMBINED_SIZE = 40  # numbers and words about the request
    FILES_COMBINED_SIZE = 41
    REQUEST_BODY_LENGTH = 42
    RESPONSE_CONTENT_LENGTH = 44
    REQBODY_PROCESSOR = 45
    REQBODY_ERROR = 46
    REQBODY_ERROR_MSG = 47
    INBOUND_DATA_ERROR = 48
    OUTBOUND_DATA_ERROR = 49
    MULTIPART_STRICT_ERROR = 50
    MULTIPART_UNMATCHED_BOUNDARY = 51
    MULTIPART_BOUNDARY_QUOTED = 52
    MULTIPART_BOUNDARY_WHITESPACE = 53
    MULTIPART_DATA_BEFORE = 54
    MULTIPART_DATA_AFTER = 55
    MULTIPART_HEADER_FOLDING = 56
    MULTIPART_LF_LINE = 57
    MULTIPART_CRLF_LF_LINES = 58
    MULTIPART_SEMICOLON_MISSING = 59
    MULTIPART_INVALID_QUOTING = 60
    MULTIPART_INVALID_PART = 61
    MULTIPART_INVALID_HEADER_FOLDING = 62
    MULTIPART_FILE_LIMIT_EXCEEDED = 63
    TIME = 64  # of the day, hh:mm:ss. All but TIME_EPOCH by the clock on the wall
    DURATION = 65  # ms
    TIME_EPOCH = 66
    TIME_DAY = 67
    TIME_HOUR = 68
    TIME_MIN = 69
    SESSIONID = 70  # the key of SESSION
    USERID = 71
    WEBAPPID = 72
    TIME_MON = 73
    TIME_SEC = 74
    TIME_WDAY = 75  # Monday is 1
    TIME_YEAR = 76

    TX = 80  # what rules set
    IP = 81  # to RESOURCE: kept between requests once they have a key
    GLOBAL = 82
    SESSION = 83
    USER = 84
    RESOURCE = 85
    GEO = 86
    MATCHED_VAR = 90  # what the last link matched
    MATCHED_VAR_NAME = 91
    MATCHED_VARS = 92
    MATCHED_VARS_NAMES = 93


SOURCES = 32  # how many sources there are


@dataclass(frozen=True, slots=True)
class Selector:
    """Fields of a variable: all, those of one name, or those whose name a regex finds. Case does not matter."""

    variable: Variable
    name: bytes = b""  # lower-case
    regex: bytes = b""
    count: bool = False  # how many there are, instead of the fields
    exclude: bool = False  # takes fields of the variable away from the other selectors


class Operator(IntEnum):
    RX = 0
    PHRASES = 1  # @pm, @pmFromFile: any of the phrases, ASCII case aside
    CONTAINS = 2
    BEGINS_WITH = 3
    ENDS_WITH = 4
    STREQ = 5
    WITHIN = 6  # the value occurs in the argument
    CONTAINS_WORD = 7
    EQ = 8
    GE = 9
    GT = 10
    LE = 11
    LT = 12
    IP_MATCH = 13
    VALIDATE_BYTE_RANGE = 14
    VALIDATE_URL_ENCODING = 15
    VALIDATE_UTF8_ENCODING = 16
    DETECT_SQLI = 17
    DETECT_XSS = 18
    UNCONDITIONAL = 19
    NO_MATCH = 20
    STRMATCH = 21
    VERIFY_CC = 22
    VERIFY_CPF = 23
    VERIFY_SSN = 24
    VERIFY_SVNR = 25
    RX_GLOBAL = 26
    GEO_LOOKUP = 27
    BLOCKLIST = 28  # @rbl: the DNS has the address below the argument's name


# Those whose argument PCRE2 reads.
REGEXES = frozenset(
    {
        Operator.RX,
        Operator.RX_GLOBAL,
        Operator.VERIFY_CC,
        Operator.VERIFY_CPF,
        Operator.VERIFY_SSN,
        Operator.VERIFY_SVNR,
    }
)


@dataclass(frozen=True, slots=True)
class Reference:
    """%{tx.x}, %{request_headers.host}, %{matched_var_name}"""

    variable: Variable
    name: bytes = b""


Text = tuple[bytes | Reference, ...]  # literal bytes and what is filled in when it is read


class Change(IntEnum):
    SET = 0
    ADD = 1
    SUBTRACT = 2
    UNSET = 3
    BIND = 4  # the collection has this key from here on (initcol); no name
    EXPIRE = 5  # the variable goes in this many seconds
    DEPRECATE = 6  # value "60/300": 60 less for every 300 seconds


@dataclass(frozen=True, slots=True)
class SetVariable:
    collection: Variable  # TX, IP, GLOBAL, ...
    name: Text  # lower-case
    change: Change
    value: Text = ()


class Control(IntEnum):
    REMOVE_RULES = 0  # `rules`
    REMOVE_TARGETS = 1  # `selector` from `rules`
    ENGINE = 2  # value: Engine
    BODY_PROCESSOR = 3  # value: Processor
    FORCE_BODY = 4  # value: 0 or 1
    BODY_ACCESS = 5


class Engine(IntEnum):
    OFF = 0
    DETECTION_ONLY = 1
    ON = 2


class Processor(IntEnum):
    NONE = 0
    URLENCODED = 1
    MULTIPART = 2
    JSON = 3
    XML = 4


@dataclass(frozen=True, slots=True)
class Ctl:
    control: Control
    value: int = 0
    rules: tuple[int, ...] = ()  # indices of first links, ascending
    selector: Selector | None = None


class Disruption(IntEnum):
    """What a full match does to the request."""

    NONE = 0
    DENY = 1  # `status`; also drop and redirect, which a decision service cannot carry out itself
    ALLOW = 2  # no more rules of this transaction
    ALLOW_PHASE = 3
    ALLOW_REQUEST = 4  # no more rules before the response's


@dataclass(frozen=True, slots=True)
class Link:
    rule: int  # the chain's id; 0: none was given
    phase: int  # 1 to 5
    selectors: tuple[Selector, ...] = ()  # none: a SecAction, which always matches once
    operator: Operator = Operator.UNCONDITIONAL
    negated: bool = False
    argument: Text = ()  # the pattern, the words, the number
    phrases: tuple[bytes, ...] = ()  # PHRASES; RX of a pattern rule: its patterns as written, for errors
    transformations: tuple[Transformation, ...] = ()
    multi_match: bool = False  # the operator sees every distinct step of the transformations
    capture: bool = False  # somebody reads TX:0 to TX:9 of this match
    ignore_case: bool = False  # pattern rules only: SecLang writes (?i)
    sets: tuple[SetVariable, ...] = ()  # for each value that matches
    ctls: tuple[Ctl, ...] = ()  # once, when the whole chain has matched
    chained: bool = False  # another link follows
    skip_to: int = -1  # first links only: the index of the link that goes on
    disruption: Disruption = Disruption.NONE
    status: int = 403
    log: bool = True  # a match is told of
    message: Text = ()
    log_data: Text = ()
    tags: tuple[bytes, ...] = ()
    severity: int = -1  # 0 emergency .. 7 debug
    paranoia: int = 1  # databases are shared by level
    name: bytes = b""  # the id as text, when it is no number: "no-log4j"
    once: bool = False  # pattern rules, no chains: the first value that matches is enough; SecLang acts on every one
    origin: str = field(default="", compare=False)  # file:line, for people


@dataclass(frozen=True, slots=True)
class Places:
    """A database of places, and what tells one state of its file from another: inode, size in bytes, mtime in ns."""

    path: str
    stamp: tuple[int, int, int]
    origin: str = field(default="", compare=False)  # file:line, for people


# What @geoLookup fills in of GEO, in the engine's order.
GEO_NAMES = (
    b"country_code",
    b"country_name",
    b"country_continent",
    b"region",
    b"city",
    b"postal_code",
    b"latitude",
    b"longitude",
    b"dma_code",
)

# What is text, and what a browser may take for it, unless the rules say which.
RESPONSE_TYPES = (
    b"",
    b"text/plain",
    b"text/html",
    b"text/xml",
    b"application/json",
    b"application/problem+json",
    b"application/xml",
    b"application/xhtml+xml",
)


@dataclass(frozen=True, slots=True)
class Program:
    """links: by phase, then as written. An index into it is what skip_to and Ctl.rules hold."""

    links: tuple[Link, ...] = ()
    initial: tuple[tuple[bytes, bytes], ...] = ()  # TX when a request begins
    scores: tuple[bytes, ...] = ()  # TX names: what a rule adds to them is its score
    score: bytes = b""  # the TX name that holds the anomaly score in the end; none: the sum of the rules'
    response_score: bytes = b""  # the same of a response
    engine: Engine = Engine.ON
    body_access: bool = True
    every_reading: bool = True  # a body is read as what it looks like, too, whatever its content type says
    json_depth: int = 64
    arguments_max: int = 1000
    response_access: bool = True
    response_types: tuple[bytes, ...] = RESPONSE_TYPES  # content types whose bodies are looked at; b"": none was said
    response_limit: int = 0  # bytes of a response that are looked at; 0: as many as of a request
    response_reject: bool = False  # a longer one is denied
    collection_timeout: int = 3600  # seconds that a collection outlives its last change
    application: bytes = b""  # SESSION and USER are its own
    places: Places | None = None  # what @geoLookup asks
    blocklist_key: bytes = b""  # of httpBL
    sources: tuple[str, ...] = field(default=(), compare=False)  # files, for people
    folded: int = field(default=0, compare=False)  # rules that never run, for people
