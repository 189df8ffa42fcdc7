"""The compiled policy: what `policy.compile` makes and the native engine builds its snapshot from.

Plain frozen data, normalised and validated: the engine trusts it. Everything textual is bytes, as it arrives on the
wire. Durations are milliseconds. Order is meaning: the engine evaluates lists, limits, routes and rules as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ratelimitd.waf.program import Program
from ratelimitd.waf.transformation import Transformation as Transformation


class Source(IntEnum):
    """Where a value comes from."""

    CONSTANT = 0  # key components only: `name` is the value
    CLIENT_IP = 1
    METHOD = 2
    HOST = 3  # lower-case, without the port
    PATH = 4  # normalised: decoded, dot segments and double slashes removed, no query
    RAW_PATH = 5  # as sent, no query
    SCHEME = 6
    HEADER = 7  # first value; `name` lower-case
    COOKIE = 8
    QUERY = 9  # first value, decoded
    PATH_PARAM = 10  # key components only; bound by the limit's own path glob
    ATTRIBUTE = 11  # caller's attributes or Envoy's context extensions
    BODY_SIZE = 12  # reserved


class Op(IntEnum):
    """How a condition compares. Alternatives in `operands` are OR-ed."""

    PRESENT = 0
    EXACT = 1
    PREFIX = 2
    SUFFIX = 3
    GLOB = 4  # `*` within a segment, `**` across, `{name}` one segment captured; on anything but paths `*` is any run
    REGEX = 5  # whole value, Hyperscan syntax
    CIDR = 6  # client address or a value that parses as an address


@dataclass(frozen=True, slots=True)
class Cidr:
    """A network: 16 address bytes (IPv4 mapped, ::ffff:0:0/96) and a prefix length over the 128 bits."""

    address: bytes
    prefix: int


@dataclass(frozen=True, slots=True)
class Condition:
    source: Source
    op: Op
    name: bytes = b""  # header, cookie, query parameter or attribute
    operands: tuple[bytes, ...] = ()
    cidrs: tuple[Cidr, ...] = ()
    negate: bool = False
    ignore_case: bool = False  # EXACT, PREFIX, SUFFIX, GLOB (ASCII)


@dataclass(frozen=True, slots=True)
class Match:
    """Alternatives (OR) of conjunctions (AND) of conditions. `((),)` matches everything; `()` nothing."""

    alternatives: tuple[tuple[Condition, ...], ...] = ((),)


class Algorithm(IntEnum):
    SLIDING_WINDOW = 0
    FIXED_WINDOW = 1
    TOKEN_BUCKET = 2


class Consistency(IntEnum):
    """How nodes that share a store count a limit together."""

    SYNCED = 0
    LOCAL = 1
    LEASED = 2


class StoreLoss(IntEnum):
    """What decides a limit while the shared store is lost."""

    LOCAL = 0
    SHARE = 1
    DENY = 2
    ALLOW = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """How much. Windows: `limit` hits per `window_ms`. Token bucket: `limit` is the burst, refilled in `window_ms`.

    `rate: 500/s, burst: 2000` becomes limit=2000, window_ms=4000.
    """

    limit: int  # 0 bans; at most 2**32 - 1
    window_ms: int  # 1 ms to 49 days; a fixed window to 392 days, then in steps of 8 ms
    unlimited: bool = False


@dataclass(frozen=True, slots=True)
class KeyPart:
    source: Source
    name: bytes = b""  # header, cookie, query, path parameter, attribute; the value itself for CONSTANT


class OverrideKind(IntEnum):
    EXACT = 0
    GLOB = 1
    CIDR = 2


@dataclass(frozen=True, slots=True)
class Override:
    """Another rate for some keys. The key's text is its parts joined by "|".

    Most specific wins: EXACT, then GLOB in the order given (the compiler sorts by specificity), then CIDR by longest
    prefix (single client address keys only)."""

    kind: OverrideKind
    rate: Rate
    text: bytes = b""
    cidr: Cidr | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    name: bytes  # unique in the domain
    identity: bytes  # 16 bytes: hash of domain, name, key, algorithm and window; counters are keyed by it
    match: Match
    key: tuple[KeyPart, ...]  # empty: one counter for all
    rate: Rate
    algorithm: Algorithm
    buckets: int = 1  # sliding window: 1 (two-bucket estimate) or 2..8 sub-buckets
    cost: int = 1  # multiplies the request's cost
    by_score: bool = False  # its hits are the scan's score, charged once that is known
    score_cost: int = 0  # of each point of the scan's score, beside the request's own cost; 0 with by_score
    shadow: bool = False
    skip_missing_key: bool = False  # a missing key part: skip the limit (else it counts as empty)
    status: int = 429
    overrides: tuple[Override, ...] = ()
    consistency: Consistency = Consistency.SYNCED
    on_store_loss: StoreLoss = StoreLoss.LOCAL
    # For ShouldRateLimit alone.
    replaces: tuple[int, ...] = ()  # indexes into Domain.limits: they do not apply beside this one
    quota: bool = False  # says when it is used up, and denies when all quotas of a call are
    metadata: bytes = b""  # google.protobuf.Struct, told while the quota lasts; at most 16 KiB
    answer_name: bytes | None = None  # what the answer calls it; None: its name


class ListAction(IntEnum):
    ALLOW = 0  # skips limits and scan
    DENY = 1


@dataclass(frozen=True, slots=True)
class AddressList:
    name: bytes
    action: ListAction
    cidrs: tuple[Cidr, ...]
    match: Match = Match()
    shadow: bool = False
    status: int = 403


@dataclass(frozen=True, slots=True)
class Trigger:
    """What leads to a ban: all that it asks for, within its window. At least one of denials and score is above 0."""

    window_ms: int
    denials: int = 0  # so many denials of what is named below
    score: int = 0  # scores of the scan that add up to so much
    limits: tuple[int, ...] | None = None  # indexes into Domain.limits; None: of every limit
    scan: bool = True  # and of the scan


@dataclass(frozen=True, slots=True)
class Penalty:
    """Who earns so many denials is banned for a time, longer each time, until good behaviour is rewarded."""

    name: bytes  # unique in the domain
    identity: bytes  # 16 bytes: hash of domain, name and key; bans are kept by it
    match: Match
    key: tuple[KeyPart, ...]  # at least one; a request that lacks a part is not concerned
    triggers: tuple[Trigger, ...]  # any of them; none: only people ban by it
    steps_ms: tuple[int, ...]  # how long the first ban lasts, the second, ...; the last stands for all after it
    forgive_ms: int  # so long without a denial takes back a step; at least as long as every trigger's window
    shadow: bool = False
    status: int = 403


class Target(IntEnum):
    """What a rule looks at. `name` narrows ARGS, HEADERS, COOKIES to one field.

    ASCII case of names does not matter, as in ModSecurity. JSON leaves have dotted names ("user.tags"); elements of an
    array share the array's."""

    METHOD = 0
    PATH = 1  # raw path, percent-decoded by the rule's transformations only
    QUERY = 2  # raw query string
    ARGS = 3  # decoded values of query and body arguments (form, multipart, JSON leaves)
    ARGS_NAMES = 4
    HEADERS = 5
    HEADERS_NAMES = 6
    COOKIES = 7
    COOKIES_NAMES = 8
    BODY = 9  # raw
    HOST = 10
    FILES_NAMES = 11  # multipart file names


@dataclass(frozen=True, slots=True)
class TargetRef:
    target: Target
    name: bytes = b""  # lower-case for headers
    exclude: bool = False  # `!args:password`


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern rule: any pattern on any target fires it, once per scan; the match names the first field."""

    id: bytes  # "942100", "no-log4j"
    patterns: tuple[bytes, ...]  # Hyperscan syntax, unanchored, case as written
    targets: tuple[TargetRef, ...]
    transformations: tuple[Transformation, ...] = ()
    score: int = 0
    deny: bool = False  # blocks on its own, whatever the score
    message: bytes = b""
    tags: tuple[bytes, ...] = ()
    ignore_case: bool = False


class ScanMode(IntEnum):
    OFF = 0
    DETECT = 1
    BLOCK = 2


@dataclass(frozen=True, slots=True)
class ScanRoute:
    match: Match
    mode: ScanMode
    profile: int = 0  # index into Scan.profiles


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to scan: rules as a program, and how much of a body they see. Profiles share what they have in common."""

    name: bytes
    program: Program
    status: int = 403  # of a denial whose rule names none
    body_limit: int = 131072  # bytes of body that are scanned
    deny_partial_body: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    mode: ScanMode = ScanMode.OFF
    routes: tuple[ScanRoute, ...] = ()  # first match wins
    profiles: tuple[Profile, ...] = ()  # the first is for what no route matches; none: nothing is scanned
    disabled: tuple[bytes, ...] = ()  # ids of rules that a rule set has and this policy leaves out; for people


class HeaderFamily(IntEnum):
    NONE = 0
    IETF = 1
    X_RATELIMIT = 2
    BOTH = 3
    DRAFT_03 = 4  # RateLimit-Limit, -Remaining and -Reset: what envoyproxy/ratelimit sends


@dataclass(frozen=True, slots=True)
class Client:
    """How the client's address is found: from the right of the header, past `trusted` networks or `hops` entries."""

    trusted: tuple[Cidr, ...] = ()
    hops: int = 0  # 0: use `trusted`
    header: bytes = b"x-forwarded-for"  # or x-envoy-external-address, cf-connecting-ip: then the single value is taken
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64


@dataclass(frozen=True, slots=True)
class Domain:
    name: bytes
    client: Client = Client()
    lists: tuple[AddressList, ...] = ()
    limits: tuple[Limit, ...] = ()
    penalties: tuple[Penalty, ...] = ()
    scan: Scan = Scan()
    headers: HeaderFamily = HeaderFamily.IETF
    shadow: bool = False  # the whole file is only watched
    all_or_none: bool = True  # a check that one limit denies consumes from none
    always: bool = False  # what is denied counts too; not with all_or_none
    answer_shadow: bool = False  # ShouldRateLimit: descriptors may be over their limits, the call never is
    metadata: bool = True  # dynamic_metadata in Envoy answers
    log_keys: str = "plain"  # "plain" | "hash": how keys appear in logs, /top and /keys


@dataclass(frozen=True, slots=True)
class Plan:
    """All domains of one load. `domains[0]` serves requests that name none, when `default_domain` is True."""

    domains: tuple[Domain, ...] = ()
    default_domain: bool = True
    unknown_domain_deny: bool = False
    digest: str = ""  # of the source files; shown by /policy and /metrics
