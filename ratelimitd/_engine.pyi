"""The typed face of the native engine (ext/engine.pyx)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from ratelimitd.policy.plan import Plan
from ratelimitd.waf.program import Program

class SwapReport(TypedDict):
    """What a swap did: limits by "domain/name"."""

    generation: int
    kept: list[str]  # identity unchanged: counters live on
    added: list[str]
    removed: list[str]
    databases: int  # pattern databases in the snapshot
    compile_ms: float  # to prepare and to publish

def searched_links(program: Program) -> list[int]:
    """First links of the rules whose matches are found by searching all fields in one pass, ascending."""

class Prepared:
    """A compiled policy that is not in force yet."""

class EventMatch(TypedDict):
    """A rule that matched."""

    id: str
    target: str  # "ARGS:id"; "" for a rule without conditions. At most 94 bytes
    score: int
    value: bytes  # what it matched, after transformations: what the client sent, at most 128 bytes of it
    size: int  # of the whole value

class Event(TypedDict):
    """One decision from the log ring: a denial, one in the shadow, or a sampled allow."""

    time_ns: int
    domain: str
    decision: str  # "allow" | "deny"
    reason: str
    shadow: bool
    # "" | "limit" | "list" | "penalty" | "rule" | "partial_body": what decided or, if shadow, would have denied
    decider: str
    limit: str  # its name: of that limit, list, penalty or rule. When nothing decided: the tightest limit
    key: str  # the key's text, at most 128 bytes, or its hash when the domain asks for it
    banned_by: str  # the penalty that banned a key after this check, "": none did
    banned_seconds: int
    client: str
    method: str
    path: str  # at most 256 bytes
    status: int
    score: int
    matches: list[EventMatch]  # at most 8
    more_matches: int  # that found no room
    phase: str  # "request" | "response": what was inspected
    secret: bool  # the domain hides keys: values may not be shown in clear
    reference: str
    weight: int  # how many decisions this one stands for

class Ban(TypedDict):
    """What is known of a key. Times in milliseconds since the epoch. Of two accounts the later (changed_ms) is true."""

    domain: str
    penalty: str
    key: str  # its text, at most 125 bytes, or its hash when the domain asks for it
    digest: bytes  # 16 bytes: what it is kept by
    until_ms: int
    changed_ms: int
    quiet_ms: int  # good behaviour counts from here
    forgive_ms: int  # of good behaviour, for each level
    level: int  # bans that are not forgiven

class Reset(TypedDict):
    """A key of a limit that was reset."""

    domain: str
    limit: str
    digest: bytes  # 16 bytes

class TlsInfo(TypedDict):
    """Times in seconds since the epoch."""

    certificate: str  # its names
    not_before: int
    not_after: int
    client_ca_not_after: int  # of the one that ends first; 0: there is none

class TlsFailure(TypedDict):
    """A TLS handshake that failed. What is not known is empty."""

    reason: str
    peer: str  # "203.0.113.7:40312"
    detail: str
    certificate: str  # names of the client's, when it is to blame

class TracedHit(TypedDict):
    target: str  # "ARGS:id"
    value: bytes  # after transformations

class Traced(TypedDict):
    """What became of a rule."""

    link: int  # index of its first link in the program
    rule: str
    fate: str  # "fired", "passed" (no match), "broken" (a link of its chain did not match), "skipped" (skipAfter),
    # "removed" (ctl), "unreached"
    score: int  # what it added
    values: int  # that it looked at in vain
    broken: int  # which link of its chain did not match
    hits: list[TracedHit]

class Trace(TypedDict):
    profile: int  # index into the domain's scan.profiles; -1: nothing scans
    rules: list[Traced]  # of phases 1, 2 and 5, in their order
    variables: dict[str, bytes]  # "tx.score": what rules have set, in the end

# A piece of what goes to the store: (window_ms, parts, number, records). It concerns the span `number`, from
# number * window_ms / parts to (number + 1) * window_ms / parts (ms since the epoch), which counts until parts more
# spans are over. A record, little-endian: 16 bytes of digest, u16 incarnation, u16 flags (1: replace all parts of this
# node, 2: replace all parts; 1 << 15 is ours), u32 own hits; of several of one digest the greatest own hits hold.
#
# 9 parts is a group that tells what is asked of this node in 256 ms, denied or not; it comes last.
#
# parts below 0 is a group of leased limits, of fixed (-1) or sliding (-2) windows of one part. A record is 16 bytes of
# digest, u16 incarnation, u16 flags, u32 held (what may be spent at any time), u32 want (at least that), u32 limit.
# Leases come in a Packed of their own, before the counts of their shard.
Group = tuple[int, int, int, bytes]
Packed = tuple[int, list[Group]]  # the store's shard, 0 to 127: the top bits of a digest; groups in order

class Engine:
    """Tables, snapshot and, once started, the server. Without `start` it decides in process (`check`), on any clock."""

    def __init__(
        self,
        *,
        workers: int = 1,
        max_keys: int = 1_000_000,
        max_bans: int = 100_000,  # keys banned at once
        hash_key: bytes | None = None,  # 16 bytes; None: random
        sample: int = 128,  # 1 in N allowed checks goes to the log ring; 0: none
        allows_per_second: int = 10,  # per worker: the sampling thins out to about that
        denials_per_second: int = 100,  # per worker, to the log ring; as many again that are only watched
        server: Mapping[str, int] | None = None,  # rl_server_options by name; unknown names raise EngineError
    ) -> None: ...
    def prepare(self, plan: Plan, *, cache_dir: str | None = None) -> Prepared:
        """Compile, the heavy part without the interpreter lock. Raises EngineError; nothing changes either way.

        Holds no lock meanwhile, so an idle-class thread may run it (background.py).
        """

    def publish(self, prepared: Prepared) -> SwapReport:
        """Put what was prepared in force: a pointer is stored and the old snapshot waited out, at most 200 ms.

        Once for each Prepared, by the engine that made it; else EngineError, and nothing changed.
        """

    def swap(self, plan: Plan, *, cache_dir: str | None = None) -> SwapReport:
        """Prepare and publish."""

    def check(self, request: Mapping[str, Any], *, now_ns: int | None = None) -> dict[str, Any]:
        """Decide one request in process, through the same spine.

        `request`: domain, source_address, method, path, host, scheme, headers [(name, value)], body, partial_body,
        attributes {}, cost, dry_run, explain; str or bytes. The answer mirrors ratelimitd.v1.CheckResponse, with
        lower-case names for enums: decision "allow"|"deny", reason "over_limit", limits [{...}], matches [{...}],
        status, score, ...
        """

    def rate_limit(self, message: bytes, *, now_ns: int | None = None) -> bytes:
        """Answer an envoy.service.ratelimit.v3.RateLimitRequest in process. Raises EngineError when it is refused."""

    def inspect_response(
        self, request: Mapping[str, Any], response: Mapping[str, Any], *, now_ns: int | None = None
    ) -> dict[str, Any]:
        """Decide in process whether a response may be passed on; `request` as for check.

        `response`: status, protocol, headers [(name, value)], body, partial_body. The answer has check's keys; no
        limits.
        """

    def trace(self, request: Mapping[str, Any]) -> Trace:
        """What the scan makes of a request, rule by rule, whatever lists and limits say.

        For people: slow, uncounted. Values are what the client sent.
        """

    def bench(self, request: Mapping[str, Any], count: int, *, now_ns: int | None = None) -> float:
        """Decide one request `count` times without the interpreter lock; nanoseconds per check."""

    def commit(self) -> None:
        """Touch the memory of all max_keys, so that the first checks do not wait for it. EngineError: there is less."""

    def sync_start(self, node: int) -> None:
        """Remember from now on what the cluster has to know of every counter. Before `commit` and `start`.

        The other sync_* raise EngineError without it. They may be called from any thread. `now_ns` as in check.
        """

    def sync_pack(self, shards: Iterable[int], limit: int, *, now_ns: int | None = None) -> list[Packed]:
        """What has to go to the store (and come from there): at most `limit` counters of each shard, the rest waits.

        Give every Packed to sync_merge or to sync_unsent before its shard is packed again.
        """

    def sync_merge(self, groups: Iterable[Group], replies: Iterable[bytes], *, now_ns: int | None = None) -> int:
        """Everyone else's hits, a little-endian u32 for each record of each group. How many counters still were there.

        For leases two: what this node is granted in all, from held to want, and what all others are.
        `groups`: of one Packed, in their order. EngineError when an answer has not the size of its group; nothing is
        merged then.
        """

    def sync_unsent(self, groups: Iterable[Group]) -> None:
        """Groups that did not arrive, as far as one knows: their counters will be packed again."""

    def sync_resync(self, shards: Iterable[int]) -> None:
        """The store lost data of these shards: all that is ours and still counts will be packed again."""

    def sync_lost(self, shards: bytes, live_nodes: int) -> None:
        """Of which shards the store is lost, a byte for each of the 128, and how many nodes are alive, this one too.

        Call it whenever either changes. Until then nothing is lost and this node is alone.
        """

    def sync_urgent_fd(self) -> int:
        """A descriptor that is readable when counters near their limit should not wait for the interval to end."""

    def sync_urgent(self) -> list[int]:
        """Their shards, since it was last asked; the descriptor is quiet again."""

    @property
    def hash_key(self) -> bytes:
        """What keys are hashed under: 16 bytes. Engines that sync must have the same."""

    def rekey(self, hash_key: bytes) -> None:
        """Hash under another key from now on. What was counted or banned under the old one is not found any more."""

    def set_clock_offset(self, offset_ms: int) -> None:
        """The cluster's clock minus ours: added to the clock, or `now_ns`, wherever counters are concerned."""

    def listen(self, address: str, *, tls: bool = False) -> str:
        """Bind; returns the address bound. With `tls`: set_tls before start."""

    def set_tls(
        self, certificate: bytes, key: bytes, client_ca: bytes = b"", client_names: Iterable[str] = ()
    ) -> TlsInfo:
        """PEM text (the certificate's chain after it), for connections from now on; also while serving. `client_ca`:
        callers need a certificate from one of these; `client_names`: that bears one of these names, DNS or URI.

        Raises EngineError when it is no working whole: then nothing changes.
        """

    def tls_failures(self) -> list[TlsFailure]:
        """Takes out failed handshakes kept for the log: a few a second; stats counts all."""

    def set_descriptors(self, descriptors: bytes) -> None: ...
    def start(self) -> None: ...
    def set_health(self, serving: bool) -> None: ...
    def drain(self) -> None: ...
    def connections(self) -> int: ...
    def stop(self) -> None: ...
    def stats(self) -> dict[str, Any]:
        """Counters since start.

        {"server": {rl_server_stats_t by field; "calls", "abuse" and "tls_failures" by name, "grpc_errors" by code},
         "latency_bounds_us": [...],
         "decisions": [{"domain", "limit", "list", "penalty", "decision", "reason", "count"}],   # only those above 0
         "limits": [{"domain", "limit", "list", "penalty", "near", "shadow_denied"}],   # a row is of one of the three
         "shadow_denied": {domain: int},   # allowed checks that would be denied, were limits, lists and scan enforced
         "scan": {"scans", "bytes", "matches", "errors"},
         "responses": {"allowed", "denied", "shadow_denied", "bytes"},   # shadow_denied: of the allowed ones
         "rules": [{"domain", "rule", "count"}],   # rules that matched; without names: those that found no counter
         "table": {"keys", "max_keys", "inserted", "evicted", "expired", "sketched", "bytes"},
         "collections": {"records", "max_records", "evicted", "bytes"},   # what rules keep between requests
         "blocklists": {"answers", "max_answers", "evicted", "asked", "dropped", "listed", "not_listed", "failed"},
         "sync": {"dirty", "packed", "merged", "skipped"} or None,   # counters to flush; records since start. skipped:
                                                                     # merged too late, their counter was gone
         "bans": {"banned", "records", "max_bans", "made", "evicted", "forgotten"},
         "penalties": [{"domain", "penalty", "bans"}],   # bans made here; only those above 0
         "penalties_truncated": int,   # checks to which more penalties applied than one check looks at
         "limits_truncated": int,   # checks to which more limits applied than one check counts
         "ring": {"lost"}, "generation": int}
        """

    def questions(self, limit: int = 64) -> list[tuple[bytes, bytes, bytes]]:
        """What workers want to know of blocklists: (digest, what to ask the DNS for, the list's part of it)."""

    def answer(
        self, digest: bytes, address: int, seconds: float, *, failed: bool = False, now_ns: int | None = None
    ) -> None:
        """What a question came to, for so long. `address`: IPv4 as a number; 0: not listed, or nobody knows."""

    def events(self, limit: int = 1024) -> list[Event]: ...
    def lookup(
        self, domain: str, limit: str, key: Sequence[str], *, now_ns: int | None = None
    ) -> dict[str, Any] | None:
        """The counter of a key (its parts in order): {limit, used, remaining, reset_after_ms, window_ms, unlimited,
        estimated}.

        estimated: the key was forgotten for want of room. `used` is then what a check would find: no less than its
        hits in the window, but maybe those of others. None when there is no such limit or nothing was counted.
        EngineError when the key has another number of parts.
        """

    def reset(self, domain: str, limit: str, key: Sequence[str], *, now_ns: int | None = None) -> bool:
        """Forgets a key's hits, also when it was evicted and only an estimate is left. False when there was nothing."""
    def ban(self, domain: str, penalty: str, key: Sequence[str], for_ms: int, *, now_ns: int | None = None) -> bool:
        """Bans a key (its parts in order) from now on, whatever stood before; the level stays. False: no such penalty.

        EngineError when the key has another number of parts, or for_ms is not 1 ms to 366 days.
        """

    def unban(self, domain: str, penalty: str, key: Sequence[str], *, now_ns: int | None = None) -> bool:
        """Lifts a key's ban and forgives what led to it. False when nothing was known of the key."""

    def bans(self, limit: int = 1000, *, now_ns: int | None = None) -> list[Ban]:
        """Keys that are banned now, in no order."""

    def ban_events(self, limit: int = 1024) -> list[Ban]:
        """What changed here since it was last asked: bans made and lifted, the latest account of each key."""

    def ban_apply(self, accounts: Sequence[Ban], *, now_ns: int | None = None) -> int:
        """Takes accounts of other nodes with the same hash_key where they are later than what is known; how many.

        Accounts that cannot be, and those that say nothing any more, are skipped.
        """

    def ban_retell(self) -> None:
        """Lets ban_events give out everything that still counts, again: who had heard of it forgot."""

    def reset_events(self) -> list[Reset]:
        """Keys that were reset here since it was last asked, for the other nodes; none without sync_start."""

    def reset_apply(self, domain: str, limit: str, digest: bytes, *, now_ns: int | None = None) -> bool:
        """Forgets what this node counted for a key that was reset on another. False when there was nothing."""

    def dump(self) -> str:
        """The snapshot in a form a person can read."""
