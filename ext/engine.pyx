"""The native engine's Python face: start, swap, check, stats, drain. The only module that touches Python objects at run time."""
import os
import threading
import time
from collections import deque

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from ratelimitd._ext.bytes.address cimport rl_address, rl_address_parse
from ratelimitd._ext.check cimport check, check_response
from ratelimitd._ext.convert cimport Request, Response, to_bytes, verdict_dict
from ratelimitd._ext.core cimport rl_counted, rl_descriptor_answer, rl_descriptor_call, rl_load_pointer, rl_set, rl_spine, rl_store_pointer, rl_verdict, rl_view
from ratelimitd._ext.descriptors cimport rate_limit
from ratelimitd._ext.events cimport ring_pop
from ratelimitd._ext.flush cimport Flush, flush_new
from ratelimitd._ext.inspect cimport MODE_BLOCK, inspect_choose, inspect_moment
from ratelimitd._ext.keying cimport key_digest_of, key_identify, key_rate
from ratelimitd._ext.limit.bans cimport (
    BAN_KEY_MAX,
    BAN_NAME_MAX,
    ban,
    ban_stats,
    ban_text,
    bans_find,
    bans_free,
    bans_get_stats,
    bans_new,
    bans_next,
    bans_put,
    bans_retell,
    bans_told,
)
from ratelimitd._ext.limit.key cimport key_digest
from ratelimitd._ext.limit.table cimport (
    TABLE_ESTIMATED,
    TABLE_UNKNOWN,
    table_bell,
    table_commit,
    table_free,
    table_get_stats,
    table_lookup,
    table_new,
    table_reset,
    table_stats,
    table_sync,
)
from ratelimitd._ext.limit.window cimport window_length, window_view
from ratelimitd._ext.match.attributes cimport rl_attributes_reset
from ratelimitd._ext.net.server cimport (
    RL_ABUSE_COUNT,
    RL_HEALTH_NOT_SERVING,
    RL_HEALTH_SERVING,
    RL_HTTP_ERROR_COUNT,
    RL_LATENCY_BUCKETS,
    RL_MAX_WORKERS,
    RL_METHOD_COUNT,
    RL_OK,
    RL_TLS_REASON_COUNT,
    rl_http_errors,
    rl_latency_bounds_us,
    rl_server,
    rl_server_connections,
    rl_server_drain,
    rl_server_error,
    rl_server_free,
    rl_server_listen,
    rl_server_listen_tls,
    rl_server_new,
    rl_server_options,
    rl_server_set_descriptors,
    rl_server_set_health,
    rl_server_set_tls,
    rl_server_start,
    rl_server_stats,
    rl_server_stats_t,
    rl_server_stop,
    rl_server_tls_failures,
    rl_tls_failure,
    rl_tls_info,
    rl_tls_parts,
)
from ratelimitd._ext.snapshot cimport (
    Snapshot,
    snapshot,
    snapshot_build,
    snapshot_domain,
    snapshot_find,
    snapshot_limit,
    snapshot_penalty,
    snapshot_profile,
    snapshot_rate,
)
from ratelimitd._ext.tell cimport tell_private
from ratelimitd._ext.waf.answers cimport (
    answers_free, answers_new, answers_put, answers_stats, answers_take, waf_answers_stats, waf_question,
)
from ratelimitd._ext.waf.layout cimport waf_moment
from ratelimitd._ext.waf.records cimport records_free, records_new, records_stats, waf_records_stats
from ratelimitd._ext.waf.trace cimport waf_trace_request
from ratelimitd._ext.worker cimport (
    COUNT_BANNED,
    COUNT_BANS,
    COUNT_KINDS,
    COUNT_NEAR,
    COUNT_OVER_LIMIT,
    COUNT_SHADOW,
    COUNT_SLOTS,
    COUNT_STORE_LOST,
    RULE_SLOTS,
    check_secret,
    check_shared,
    check_worker,
    worker_enter,
    worker_free,
    worker_leave,
    worker_new,
)

from ratelimitd._ext.events import REASONS
from ratelimitd._ext.waf.blueprint import draw
from ratelimitd.errors import EngineError
from ratelimitd.policy.plan import Plan

cdef extern from "wire/buffer.h" namespace "rl" nogil:
    cdef cppclass Buffer:
        const char *data()
        size_t size()


cdef extern from "wire/rls_messages.h" namespace "rl" nogil:
    cdef cppclass DescriptorArena:
        pass
    const char *decode_rate_limit(rl_view message, DescriptorArena *arena, rl_descriptor_call *out) noexcept
    void encode_rate_limit(const rl_descriptor_answer &answer, const rl_verdict &verdict, Buffer *out) noexcept


cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int microseconds)


MOST_ANSWERS = 65_536       # of blocklists, 40 bytes each
KEYS_FOR_A_RECORD = 16      # max_keys allows for one record of the rules' collections for so many keys of limits
METHODS = (
    "envoy_check", "check", "check_batch", "inspect_response", "health", "reflection", "unknown", "http_check",
    "http_check_batch", "auth", "auth_nginx", "auth_haproxy", "auth_traefik", "auth_caddy", "auth_envoy",
    "should_rate_limit", "http_rate_limit",
)  # fmt: skip
ABUSES = ("protocol_error", "header_bomb", "rapid_reset", "control_flood", "oversized", "malformed", "stalled", "unread")
TLS_REASONS = (
    "not_tls", "nothing_in_common", "no_certificate", "unknown_ca", "expired", "name", "bad_certificate",
    "refused_by_peer", "timeout", "gone", "protocol_error",
)

MOST_BANNED_MS = 366 * 86_400_000
MOST_RESETS = 10_000    # that nobody has fetched

SERVER_DEFAULTS = {
    "max_connections": 10_000,
    "max_streams": 1024,
    "max_message": 4 << 20,
    "max_header_list": 16 << 10,
    "max_batch": 100,
    "idle_timeout_ms": 0,
    "stall_timeout_ms": 10_000,
    "max_connection_age_ms": 0,
    "max_connection_age_grace_ms": 10_000,
    "max_output": 1 << 20,
    "max_unread": 64 << 20,
    "max_wait_ms": 500,
}


def searched_links(program):
    blueprint = draw(program)
    return [index for index in blueprint.batched if index == 0 or not blueprint.links[index - 1].chained]


cdef class Prepared:
    """A compiled policy that nobody reads yet."""

    cdef object owner             # the Engine that may publish it; None: it has
    cdef Snapshot fresh
    cdef dict programs            # plan.Program -> compiled program
    cdef double compile_ms


cdef class Engine:
    cdef check_shared shared
    cdef rl_server *server
    cdef rl_spine spine
    cdef object _swapping         # one swap at a time; not held while a policy compiles
    cdef object _lock             # the rest: the control worker, rings, counters; never held for long
    cdef dict _answered           # what questions of blocklists came to
    cdef dict _slots              # (kind, domain, name) -> metric slot
    cdef dict _rule_slots         # (domain, rule) -> slot of its matches
    cdef dict _programs           # plan.Program -> compiled program, of the current snapshot
    cdef Snapshot _current
    cdef list _retired            # snapshots that a worker may still read
    cdef bint _started
    cdef list _secrets            # keys of the hash so far, the last in use
    cdef object _resets           # keys that people reset, for the other nodes
    cdef Flush _flush             # None: this engine counts alone

    def __cinit__(
        self,
        *,
        workers=1,
        max_keys=1_000_000,
        max_bans=100_000,
        hash_key=None,
        sample=128,
        allows_per_second=10,
        denials_per_second=100,
        server=None,
    ):
        cdef uint32_t index
        cdef bytes secret = os.urandom(16) if hash_key is None else bytes(hash_key)
        if not 1 <= workers <= RL_MAX_WORKERS:
            raise EngineError(f"workers: {workers}, must be 1 to {RL_MAX_WORKERS}")
        if max_keys < 1:
            raise EngineError(f"max_keys: {max_keys}, must be at least 1")
        self._lock = threading.Lock()
        self._swapping = threading.Lock()
        self._slots = {}
        self._rule_slots = {}
        self._programs = {}
        self._retired = []
        self._resets = deque(maxlen=MOST_RESETS)
        self._secrets = []
        self._take_secret(secret)
        self.shared.sample = sample
        self.shared.allows_per_second = max(1, allows_per_second)
        self.shared.denials_per_second = denials_per_second
        # The last worker is the control plane's own: Engine.check decides on it.
        self.shared.worker_count = workers + 1
        self.shared.workers = <check_worker **>calloc(workers + 1, sizeof(check_worker *))
        if self.shared.workers == NULL:
            raise MemoryError
        for index in range(self.shared.worker_count):
            self.shared.workers[index] = worker_new(int.from_bytes(os.urandom(8), "little"))
            if self.shared.workers[index] == NULL:
                raise MemoryError
        self.shared.table = table_new(max_keys)
        if self.shared.table == NULL:
            raise EngineError(f"cannot reserve memory for {max_keys} keys: lower max_keys")
        self.shared.records = records_new(max(1, max_keys // KEYS_FOR_A_RECORD))
        if self.shared.records == NULL:
            raise EngineError(f"cannot reserve memory for the collections of {max_keys} keys: lower max_keys")
        self.shared.answers = answers_new(MOST_ANSWERS)
        if self.shared.answers == NULL:
            raise MemoryError
        self._answered = {"listed": 0, "not_listed": 0, "failed": 0}
        self.shared.bans = bans_new(max_bans)
        if self.shared.bans == NULL:
            raise EngineError(f"max_bans: {max_bans}, must be 1 to 16777216 and fit into memory")
        self.spine.self = &self.shared
        self.spine.enter = worker_enter
        self.spine.leave = worker_leave
        self.spine.check = check
        self.spine.inspect = check_response
        self.spine.rate_limit = rate_limit
        self._new_server(workers, server or {})

    cdef _take_secret(self, bytes secret):
        """Those before it are kept: a worker may be hashing under one."""
        if len(secret) != 16:
            raise EngineError(f"hash_key: {len(secret)} bytes, must be 16")
        self._secrets.append(secret)
        rl_store_pointer(<void **>&self.shared.secret, <char *>secret)

    cdef _new_server(self, uint32_t workers, object given):
        cdef rl_server_options options
        unknown = set(given) - set(SERVER_DEFAULTS)
        if unknown:
            raise EngineError(f"server: unknown options {sorted(unknown)}; known are {sorted(SERVER_DEFAULTS)}")
        values = {**SERVER_DEFAULTS, **given}
        options.workers = workers
        options.max_connections = values["max_connections"]
        options.max_streams = values["max_streams"]
        options.max_message = values["max_message"]
        options.max_header_list = values["max_header_list"]
        options.max_batch = values["max_batch"]
        options.idle_timeout_ms = values["idle_timeout_ms"]
        options.stall_timeout_ms = values["stall_timeout_ms"]
        options.max_connection_age_ms = values["max_connection_age_ms"]
        options.max_connection_age_grace_ms = values["max_connection_age_grace_ms"]
        options.max_output = values["max_output"]
        options.max_unread = values["max_unread"]
        options.max_wait_ms = values["max_wait_ms"]
        self.server = rl_server_new(&options, &self.spine)
        if self.server == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t index
        if self.server != NULL:
            if self._started:
                with nogil:
                    rl_server_stop(self.server)
            rl_server_free(self.server)
        if self.shared.workers != NULL:
            for index in range(self.shared.worker_count):
                worker_free(self.shared.workers[index])
            free(self.shared.workers)
        if self.shared.table != NULL:
            table_free(self.shared.table)
        records_free(self.shared.records)
        answers_free(self.shared.answers)
        bans_free(self.shared.bans)

    # ---- the policy

    def prepare(self, plan, *, cache_dir=None):
        """Takes no lock: a thread of the lowest priority may run it, and nobody who waits for a lock waits for that thread."""
        cdef Prepared out = Prepared()
        started = time.perf_counter()
        out.owner = self
        out.programs = dict(self._programs)
        out.fresh = snapshot_build(plan, self._slot, out.programs, cache_dir)
        out.compile_ms = (time.perf_counter() - started) * 1000
        return out

    def publish(self, Prepared prepared not None):
        cdef Snapshot fresh
        started = time.perf_counter()
        with self._swapping:
            fresh = prepared.fresh
            if prepared.owner is not self:
                raise EngineError("this policy was prepared by another engine, or is published already")
            generation = self._current.data.generation + 1 if self._current is not None else 1
            fresh.data.generation = generation
            report = _differences(self._current.plan if self._current is not None else Plan(), fresh.plan)
            used = set(fresh.programs.values())
            self._programs = {rules: program for rules, program in prepared.programs.items() if program in used}
            prepared.owner = prepared.fresh = prepared.programs = None
            with self._lock:
                if self._current is not None:
                    self._retired.append(self._current)
                self._current = fresh
                rl_store_pointer(<void **>&self.shared.current, fresh.data)
            self._wait_for_workers()
        report |= {
            "generation": generation,
            "databases": fresh.databases,
            "compile_ms": prepared.compile_ms + (time.perf_counter() - started) * 1000,
        }
        return report

    def swap(self, plan, *, cache_dir=None):
        return self.publish(self.prepare(plan, cache_dir=cache_dir))

    def _slot(self, kind, domain, name):
        """Slots are never taken back: a limit that returns goes on counting where it stopped. When they run out, slot 0 takes the rest."""
        slots, most, key = self._slots, COUNT_SLOTS, (kind, domain, name)
        if kind == "rule":
            slots, most, key = self._rule_slots, RULE_SLOTS, (domain, name)
        slot = slots.get(key)
        if slot is None:
            if len(slots) >= most - 1:
                return 0
            slot = slots[key] = len(slots) + 1
        return slot

    cdef _wait_for_workers(self):
        """Gives workers 200 ms to let go of the old snapshot. They do at the end of a turn; what is left, stats() reclaims."""
        cdef int patience_ms
        for patience_ms in range(200):
            with self._lock:
                self._reclaim()
                if not self._retired:
                    return
            with nogil:
                usleep(1000)

    cdef _reclaim(self):
        """Drops retired snapshots that no worker has pinned."""
        self._retired = [old for old in self._retired if self._pinned((<Snapshot>old).data)]

    cdef bint _pinned(self, snapshot *old) noexcept:
        cdef uint32_t index
        for index in range(self.shared.worker_count):
            if rl_load_pointer(<void **>&self.shared.workers[index].pinned) == <void *>old:
                return True
        return False

    def dump(self):
        from ratelimitd._ext.dump import dump

        with self._lock:
            return dump(self._current) if self._current is not None else "no policy\n"

    # ---- deciding in process

    def check(self, request, *, now_ns=None):
        cdef Request native = Request(request)
        cdef rl_verdict *verdict = <rl_verdict *>calloc(1, sizeof(rl_verdict))
        cdef uint32_t worker = self.shared.worker_count - 1
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        if verdict == NULL:
            raise MemoryError
        try:
            with self._lock:
                worker_enter(&self.shared, worker)
                check(&self.shared, worker, now, &native.data, verdict)
                answer = verdict_dict(verdict)
                worker_leave(&self.shared, worker)
            return answer
        finally:
            free(verdict)

    def rate_limit(self, message, *, now_ns=None):
        cdef bytes asked = message
        cdef rl_view view
        cdef DescriptorArena *arena = new DescriptorArena()
        cdef Buffer *out = new Buffer()
        cdef rl_verdict *verdict = <rl_verdict *>calloc(1, sizeof(rl_verdict))
        cdef rl_descriptor_answer *answer = <rl_descriptor_answer *>calloc(1, sizeof(rl_descriptor_answer))
        cdef rl_descriptor_call call
        cdef uint32_t worker = self.shared.worker_count - 1
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        cdef const char *error
        view.data = asked
        view.size = <uint32_t>len(asked)
        try:
            if verdict == NULL or answer == NULL:
                raise MemoryError
            error = decode_rate_limit(view, arena, &call)
            if error != NULL:
                raise EngineError((<bytes>error).decode())
            with self._lock:
                worker_enter(&self.shared, worker)
                rate_limit(&self.shared, worker, now, &call, answer, verdict)
                encode_rate_limit(answer[0], verdict[0], out)
                worker_leave(&self.shared, worker)
            return out.data()[:out.size()]
        finally:
            free(verdict)
            free(answer)
            del arena
            del out

    def inspect_response(self, request, response, *, now_ns=None):
        cdef Request asked = Request(request)
        cdef Response answered = Response(response)
        cdef rl_verdict *verdict = <rl_verdict *>calloc(1, sizeof(rl_verdict))
        cdef uint32_t worker = self.shared.worker_count - 1
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        if verdict == NULL:
            raise MemoryError
        try:
            with self._lock:
                worker_enter(&self.shared, worker)
                check_response(&self.shared, worker, now, &asked.data, &answered.data, verdict)
                answer = verdict_dict(verdict)
                worker_leave(&self.shared, worker)
            return answer
        finally:
            free(verdict)

    def trace(self, request):
        cdef Request native = Request(request)
        cdef Snapshot current = self._current
        cdef const snapshot_domain *domain = NULL
        cdef const snapshot_profile *profile
        cdef check_worker *mine
        cdef waf_moment moment
        cdef char client[46]
        cdef uint8_t mode
        cdef uint32_t index
        cdef bint detect
        if current is not None:
            domain = snapshot_find(current.data, native.data.domain)
        if domain == NULL or domain.scan.profile_count == 0:
            return {"profile": -1, "rules": [], "variables": {}}
        with self._lock:
            mine = self.shared.workers[self.shared.worker_count - 1]
            worker_enter(&self.shared, self.shared.worker_count - 1)
            rl_attributes_reset(mine.attributes, &native.data, &domain.client)
            index = inspect_choose(mine, &domain.scan, &mode)
            moment = inspect_moment(&self.shared, mine, domain, time.time_ns(), &native.data)[0]
            memcpy(client, mine.client, sizeof(client))
            moment.client.data = client
            moment.dry_run = 1
            worker_leave(&self.shared, self.shared.worker_count - 1)
        profile = &domain.scan.profiles[index]
        detect = mode != MODE_BLOCK or domain.shadow
        rules, variables = waf_trace_request(profile.program, &moment, &native.data, profile.body_limit, detect)
        return {"profile": index, "rules": rules, "variables": variables}

    def bench(self, request, count, *, now_ns=None):
        """Decides the same request count times without the interpreter lock; nanoseconds per check. For benchmarks/micro.py."""
        cdef Request native = Request(request)
        cdef rl_verdict *verdict = <rl_verdict *>calloc(1, sizeof(rl_verdict))
        cdef uint32_t worker = self.shared.worker_count - 1
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        cdef int64_t turn, turns = count
        if verdict == NULL:
            raise MemoryError
        try:
            with self._lock:
                started = time.perf_counter_ns()
                with nogil:
                    worker_enter(&self.shared, worker)
                    for turn in range(turns):
                        check(&self.shared, worker, now, &native.data, verdict)
                    worker_leave(&self.shared, worker)
                return (time.perf_counter_ns() - started) / count
        finally:
            free(verdict)

    def lookup(self, domain, limit, key, *, now_ns=None):
        cdef _Key found = self._key(domain, limit, key)
        cdef window_view view
        cdef int known
        if found is None:
            return None
        known = table_lookup(self.shared.table, &found.digest, &found.rate.rule, self._clock_ms(now_ns), &view)
        if known == TABLE_UNKNOWN:
            return None
        return {
            "limit": found.rate.rule.limit,
            "used": view.used,
            "remaining": view.remaining,
            "reset_after_ms": view.reset_after_ms,
            "window_ms": window_length(&found.rate.rule),
            "unlimited": bool(found.rate.unlimited),
            "estimated": known == TABLE_ESTIMATED,
        }

    def reset(self, domain, limit, key, *, now_ns=None):
        cdef _Key found = self._key(domain, limit, key)
        if found is None:
            return False
        if self._flush is not None:
            self._resets.append({"domain": domain, "limit": limit, "digest": (<const char *>&found.digest)[:16]})
        return bool(table_reset(self.shared.table, &found.digest, &found.rate.rule, found.slot, True, self._clock_ms(now_ns)))

    def reset_events(self):
        out = []
        while self._resets:
            out.append(self._resets.popleft())
        return out

    def reset_apply(self, domain, limit, bytes digest, *, now_ns=None):
        cdef const snapshot_limit *found = self._limit(domain, limit)
        cdef key_digest key
        if found == NULL or len(digest) != 16:
            return False
        memcpy(&key, <const char *>digest, 16)
        return bool(table_reset(self.shared.table, &key, &found.rate.rule, found.slot, False, self._clock_ms(now_ns)))

    cdef _Key _key(self, object domain, object limit, object key):
        """None when there is no such limit; EngineError when the key has the wrong number of parts."""
        cdef _Key out
        cdef const snapshot_limit *found = self._limit(domain, limit)
        if found == NULL:
            return None
        out = _Key()
        out.owner = self._current
        out.set(&self.shared, found, [to_bytes(part) for part in key])
        return out

    cdef const snapshot_domain *_domain(self, object domain) except? NULL:
        """Of the current snapshot; NULL: there is no such domain. The bytes of its name are not kept."""
        cdef bytes name = to_bytes(domain)
        cdef rl_view view
        if self._current is None:
            return NULL
        view.data = name
        view.size = <uint32_t>len(name)
        return snapshot_find(self._current.data, view)

    cdef const snapshot_limit *_limit(self, object domain, object limit) except? NULL:
        cdef const snapshot_domain *place = self._domain(domain)
        cdef bytes name = to_bytes(limit)
        cdef uint32_t index
        for index in range(place.limit_count if place != NULL else 0):
            if <bytes>place.limits[index].name.data[:place.limits[index].name.size] == name:
                return &place.limits[index]
        return NULL

    # ---- the cluster

    def sync_start(self, node):
        if self._started:
            raise EngineError("sync_start comes before start")
        if not table_sync(self.shared.table):
            raise EngineError("cannot reserve memory to sync so many keys: lower max_keys")
        self._flush = flush_new(self.shared.table)

    def sync_pack(self, shards, limit, *, now_ns=None):
        return self._syncing().pack(shards, limit, self._clock_ms(now_ns))

    def sync_merge(self, groups, replies, *, now_ns=None):
        return self._syncing().merge(groups, replies, self._clock_ms(now_ns))

    def sync_unsent(self, groups):
        self._syncing().unsent(groups)

    def sync_resync(self, shards):
        self._syncing().resync(shards)

    def sync_lost(self, shards, live_nodes):
        self._syncing().state(bytes(shards), live_nodes)

    def sync_urgent_fd(self):
        self._syncing()
        return table_bell(self.shared.table)

    def sync_urgent(self):
        return self._syncing().urgent()

    @property
    def hash_key(self):
        return self._secrets[len(self._secrets) - 1]

    def rekey(self, hash_key):
        self._take_secret(bytes(hash_key))

    def set_clock_offset(self, int64_t offset_ms):
        rl_set(&self.shared.clock_offset_ms, <uint64_t>offset_ms)

    cdef Flush _syncing(self):
        if self._flush is None:
            raise EngineError("this engine counts alone: call sync_start first")
        return self._flush

    cdef int64_t _clock_ms(self, object now_ns) except? -1:
        """What decisions of now take for the time."""
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        return now // 1000000 + <int64_t>rl_counted(&self.shared.clock_offset_ms)

    # ---- bans

    def ban(self, domain, penalty, key, for_ms, *, now_ns=None):
        cdef int64_t now_ms = self._clock_ms(now_ns)
        if not 1 <= for_ms <= MOST_BANNED_MS:
            raise EngineError(f"for_ms: {for_ms}, must be 1 to {MOST_BANNED_MS}")
        return self._account(domain, penalty, key, now_ms, now_ms + for_ms)

    def unban(self, domain, penalty, key, *, now_ns=None):
        cdef int64_t now_ms = self._clock_ms(now_ns)
        return self._account(domain, penalty, key, now_ms, 0)

    cdef bint _account(self, object domain, object penalty, object key, int64_t now_ms, int64_t until_ms) except? False:
        """Says that a key is banned until then, or that it is not (0), and all denials forgiven. False: no such penalty, or nothing to lift."""
        cdef const snapshot_domain *place = self._domain(domain)
        cdef const snapshot_penalty *found = _penalty(place, to_bytes(penalty)) if place != NULL else NULL
        cdef rl_view text
        cdef rl_view views[8]
        cdef ban account, known
        cdef ban_text about
        cdef char hashed[16]
        cdef uint32_t index
        cdef list parts = [to_bytes(part) for part in key]
        cdef bytes joined = b"|".join(parts)
        if found == NULL:
            return False
        if len(parts) != found.key_count:
            raise EngineError(f"the key of this penalty has {found.key_count} parts, {len(parts)} given")
        for index in range(found.key_count):
            views[index].data = <bytes>parts[index]
            views[index].size = <uint32_t>len(parts[index])
        key_identify(check_secret(&self.shared), found.identity, views, found.key_count, &account.digest)
        account.level = 0
        if bans_find(self.shared.bans, &account.digest, now_ms, &known):
            account.level = known.level if until_ms else 0
            now_ms = max(now_ms, known.changed_ms + 1)      # whatever the clocks say, this comes after it
        elif not until_ms:
            return False
        account.until_ms = until_ms
        account.changed_ms = now_ms
        account.quiet_ms = max(until_ms, now_ms)
        account.forgive_ms = found.forgive_ms
        text.data, text.size = joined, <uint32_t>len(joined)
        _about(&about, place.name.data[:place.name.size], to_bytes(penalty), joined)
        text = tell_private(&self.shared, place, text, hashed)
        about.key_size = <uint8_t>min(text.size, <uint32_t>BAN_KEY_MAX)
        memcpy(about.key, text.data, about.key_size)
        return bans_put(self.shared.bans, &account, &about, False, now_ms)

    def bans(self, limit=1000, *, now_ns=None):
        cdef int64_t now_ms = self._clock_ms(now_ns)
        cdef uint32_t at = 0
        cdef ban known
        cdef ban_text text
        out = []
        while len(out) < limit and bans_next(self.shared.bans, &at, now_ms, &known, &text):
            if known.until_ms > now_ms:
                out.append(_ban_dict(&known, &text))
        return out

    def ban_events(self, limit=1024):
        cdef uint32_t at = 0
        cdef ban known
        cdef ban_text text
        out = []
        while len(out) < limit and bans_told(self.shared.bans, &at, &known, &text):
            out.append(_ban_dict(&known, &text))
        return out

    def ban_apply(self, accounts, *, now_ns=None):
        cdef int64_t now_ms = self._clock_ms(now_ns)
        cdef ban account
        cdef ban_text text
        taken = 0
        for one in accounts:
            digest = one["digest"]
            times = one["until_ms"], one["changed_ms"], one["quiet_ms"]
            if len(digest) != 16 or not all(0 <= at <= now_ms + 2 * MOST_BANNED_MS for at in times):
                continue
            if not (1 <= one["forgive_ms"] < 1 << 32 and 0 <= one["level"] < 1 << 32):
                continue
            memcpy(&account.digest, <const char *><bytes>digest, 16)
            account.until_ms, account.changed_ms, account.quiet_ms = times
            account.forgive_ms = one["forgive_ms"]
            account.level = one["level"]
            _about(&text, to_bytes(one["domain"]), to_bytes(one["penalty"]), to_bytes(one["key"]))
            taken += bans_put(self.shared.bans, &account, &text, True, now_ms)
        return taken

    def ban_retell(self):
        bans_retell(self.shared.bans, self._clock_ms(None))

    # ---- the server

    def listen(self, address, *, tls=False):
        cdef char bound[256]
        cdef bint over_tls = tls
        cdef bytes text = to_bytes(address)
        cdef const char *wanted = text
        cdef int code
        bound[0] = 0
        with nogil:
            if over_tls:
                code = rl_server_listen_tls(self.server, wanted, bound, sizeof(bound))
            else:
                code = rl_server_listen(self.server, wanted, bound, sizeof(bound))
        self._must(code)
        return (<bytes>bound).decode()

    def set_tls(self, certificate, key, client_ca=b"", client_names=()):
        cdef rl_tls_parts parts
        cdef rl_tls_info info
        cdef bytes names = "\n".join(client_names).encode()
        parts.certificate = _view(certificate)
        parts.key = _view(key)
        parts.client_ca = _view(client_ca)
        parts.client_names = _view(names)
        self._must(rl_server_set_tls(self.server, &parts, &info))
        return {
            "certificate": (<bytes>info.certificate).decode(),
            "not_before": info.not_before,
            "not_after": info.not_after,
            "client_ca_not_after": info.client_ca_not_after,
        }

    def tls_failures(self):
        cdef rl_tls_failure failures[64]
        cdef size_t index, count = rl_server_tls_failures(self.server, failures, 64)
        return [
            {
                "reason": TLS_REASONS[failures[index].reason],
                "peer": (<bytes>failures[index].peer).decode(),
                "detail": (<bytes>failures[index].detail).decode(errors="replace"),
                "certificate": (<bytes>failures[index].certificate).decode(),
            }
            for index in range(count)
        ]

    def commit(self):
        cdef bint enough
        with nogil:
            enough = table_commit(self.shared.table)
        if not enough:
            raise EngineError("not enough memory for so many keys: lower max_keys")

    def set_descriptors(self, descriptors):
        cdef bytes data = descriptors
        self._must(rl_server_set_descriptors(self.server, <const uint8_t *><const char *>data, len(data)))

    def start(self):
        cdef int code
        with nogil:
            code = rl_server_start(self.server)
        self._must(code)
        self._started = True

    def set_health(self, serving):
        rl_server_set_health(self.server, RL_HEALTH_SERVING if serving else RL_HEALTH_NOT_SERVING)

    def drain(self):
        with nogil:
            rl_server_drain(self.server)

    def connections(self):
        return rl_server_connections(self.server)

    def stop(self):
        if self._started:
            with nogil:
                rl_server_stop(self.server)
            self._started = False

    cdef _must(self, int code):
        """The one place where a data plane code becomes an exception."""
        if code != RL_OK:
            raise EngineError(rl_server_error(self.server).decode(errors="replace"))

    # ---- what happened

    def events(self, limit=1024):
        cdef uint32_t index
        out = []
        with self._lock:
            for index in range(self.shared.worker_count):
                out += ring_pop(&self.shared.workers[index].ring, limit - len(out))
        return out

    # ---- what blocklists know

    def questions(self, limit=64):
        cdef waf_question question
        out = []
        while len(out) < limit and answers_take(self.shared.answers, &question):
            name = question.name[:question.size]
            out.append(((<char *>&question.digest)[:sizeof(question.digest)], name, name[question.service:]))
        return out

    def answer(self, bytes digest, uint32_t address, double seconds, *, failed=False, now_ns=None):
        cdef key_digest key
        cdef int64_t now = time.time_ns() if now_ns is None else now_ns
        if len(digest) != sizeof(key):
            raise EngineError(f"digest: {len(digest)} bytes, must be {sizeof(key)}")
        memcpy(&key, <const char *>digest, sizeof(key))
        answers_put(self.shared.answers, &key, address, now // 1000000, <int64_t>(seconds * 1000))
        self._answered["failed" if failed else "listed" if address else "not_listed"] += 1

    def stats(self):
        cdef table_stats table
        cdef waf_answers_stats answers
        cdef waf_records_stats records
        cdef uint32_t index
        with self._lock:
            self._reclaim()
            table_get_stats(self.shared.table, &table)
            records_stats(self.shared.records, &records)
            answers_stats(self.shared.answers, &answers)
            decisions, limits, watched = self._counts()
            return {
                "server": self._server_stats(),
                "latency_bounds_us": [rl_latency_bounds_us[index] for index in range(RL_LATENCY_BUCKETS)],
                "decisions": decisions,
                "limits": limits,
                "shadow_denied": watched,
                "scan": {
                    "scans": self._total("scans"),
                    "bytes": self._total("scan_bytes"),
                    "matches": self._total("scan_matches"),
                    "errors": self._total("scan_errors"),
                },
                "responses": {
                    "allowed": self._total("responses_allowed"),
                    "denied": self._total("responses_denied"),
                    "shadow_denied": self._total("responses_watched"),
                    "bytes": self._total("response_bytes"),
                },
                "rules": self._rule_matches(),
                "table": {
                    "keys": table.keys,
                    "max_keys": table.max_keys,
                    "inserted": table.inserted,
                    "evicted": table.evicted,
                    "expired": table.expired,
                    "sketched": table.sketched,
                    "bytes": table.bytes,
                },
                "collections": {
                    "records": records.records,
                    "max_records": records.max_records,
                    "evicted": records.evicted,
                    "bytes": records.bytes,
                },
                "blocklists": {
                    "answers": answers.answers,
                    "max_answers": answers.max_answers,
                    "evicted": answers.evicted,
                    "asked": answers.asked,
                    "dropped": answers.dropped,
                    **self._answered,
                },
                "sync": self._flush.stats() if self._flush is not None else None,
                "bans": self._ban_stats(),
                "penalties": self._penalty_counts(),
                "penalties_truncated": self._total("penalties_truncated"),
                "limits_truncated": self._total("limits_truncated"),
                "ring": {"lost": self._total("lost")},
                "generation": self._current.data.generation if self._current is not None else 0,
            }

    cdef uint64_t _total(self, str name) except? 0:
        """One of check_totals, summed over workers."""
        cdef uint32_t index
        cdef uint64_t out = 0
        cdef check_worker *worker
        for index in range(self.shared.worker_count):
            worker = self.shared.workers[index]
            if name == "scans":
                out += rl_counted(&worker.totals.scans)
            elif name == "scan_bytes":
                out += rl_counted(&worker.totals.scan_bytes)
            elif name == "scan_matches":
                out += rl_counted(&worker.totals.scan_matches)
            elif name == "scan_errors":
                out += rl_counted(&worker.totals.scan_errors)
            elif name == "responses_allowed":
                out += rl_counted(&worker.totals.responses_allowed)
            elif name == "responses_denied":
                out += rl_counted(&worker.totals.responses_denied)
            elif name == "responses_watched":
                out += rl_counted(&worker.totals.responses_watched)
            elif name == "response_bytes":
                out += rl_counted(&worker.totals.response_bytes)
            elif name == "limits_truncated":
                out += rl_counted(&worker.totals.limits_truncated)
            elif name == "penalties_truncated":
                out += rl_counted(&worker.totals.penalties_truncated)
            elif name == "lost":
                out += rl_counted(&worker.ring.lost)
            elif name == "no_policy_allow":
                out += rl_counted(&worker.totals.no_policy_allow)
            elif name == "no_policy_deny":
                out += rl_counted(&worker.totals.no_policy_deny)
            elif name == "overload":
                out += rl_counted(&worker.totals.overload)
            else:
                raise KeyError(name)
        return out

    cdef list _rule_matches(self):
        """The rules that have matched; those without a slot of their own as one without a name."""
        cdef uint32_t index, slot
        cdef uint64_t count
        out = []
        for (domain, rule), slot in [((b"", b""), 0), *self._rule_slots.items()]:
            count = 0
            for index in range(self.shared.worker_count):
                count += rl_counted(&self.shared.workers[index].rule_matches[slot])
            if count:
                out.append({"domain": domain.decode(), "rule": rule.decode("utf-8", "replace"), "count": count})
        return out

    cdef uint64_t _counted(self, uint32_t slot, uint32_t kind) noexcept:
        cdef uint32_t index
        cdef uint64_t out = 0
        for index in range(self.shared.worker_count):
            out += rl_counted(&self.shared.workers[index].counts[slot * COUNT_KINDS + kind])
        return out

    cdef tuple _counts(self):
        """(decisions, limits, shadow_denied) as _engine.pyi describes them. A limit's and a list's decisions carry its name, as what it is; the others none."""
        cdef uint32_t slot, kind
        decisions = []
        limits = []
        shadows = {}

        def decided(domain, decision, reason, count, limit="", list="", penalty=""):
            if count:
                place = {"domain": domain, "limit": limit, "list": list, "penalty": penalty}
                decisions.append({**place, "decision": decision, "reason": reason, "count": count})

        def watched(domain, near, shadow, limit="", list="", penalty=""):
            if near or shadow:
                place = {"domain": domain, "limit": limit, "list": list, "penalty": penalty}
                limits.append({**place, "near": near, "shadow_denied": shadow})

        for (what, domain_name, name), slot in list(self._slots.items()):
            domain, text = domain_name.decode(), name.decode()
            shadow = self._counted(slot, COUNT_SHADOW)
            if what == "limit":
                decided(domain, "deny", "over_limit", self._counted(slot, COUNT_OVER_LIMIT), limit=text)
                decided(domain, "deny", "store_lost", self._counted(slot, COUNT_STORE_LOST), limit=text)
                watched(domain, self._counted(slot, COUNT_NEAR), shadow, limit=text)
            elif what == "list":
                decided(domain, "allow", "allow_list", self._counted(slot, 1), list=text)
                decided(domain, "deny", "deny_list", self._counted(slot, 2), list=text)
                watched(domain, 0, shadow, list=text)
            elif what == "penalty":
                decided(domain, "deny", "penalty", self._counted(slot, COUNT_BANNED), penalty=text)
                watched(domain, 0, shadow, penalty=text)
            else:
                shadows[domain] = shadow
                decided(domain, "allow", "", self._counted(slot, 0))
                for kind in (4, 5):
                    decided(domain, "deny", REASONS[kind], self._counted(slot, kind))
        decided("", "allow", "no_policy", self._total("no_policy_allow"))
        decided("", "deny", "no_policy", self._total("no_policy_deny"))
        decided("", "deny", "overload", self._total("overload"))
        return decisions, limits, shadows

    cdef list _penalty_counts(self):
        """Bans that each penalty has made here."""
        rows = []
        for (what, domain, name), slot in list(self._slots.items()):
            if what == "penalty" and (count := self._counted(slot, COUNT_BANS)):
                rows.append({"domain": domain.decode(), "penalty": name.decode(), "bans": count})
        return rows

    cdef dict _ban_stats(self):
        cdef ban_stats stats
        bans_get_stats(self.shared.bans, self._clock_ms(None), &stats)
        return {
            "banned": stats.banned,
            "records": stats.records,
            "max_bans": stats.max_bans,
            "made": stats.made,
            "evicted": stats.evicted,
            "forgotten": stats.forgotten,
        }

    cdef dict _server_stats(self):
        cdef rl_server_stats_t stats
        cdef int index
        memset(&stats, 0, sizeof(stats))
        rl_server_stats(self.server, &stats)
        return {
            "connections_accepted": stats.connections_accepted,
            "connections_closed": stats.connections_closed,
            "connections_refused": stats.connections_refused,
            "connections_by_worker": [stats.connections_by_worker[index] for index in range(self.shared.worker_count - 1)],
            "bytes_read": stats.bytes_read,
            "bytes_written": stats.bytes_written,
            "turns": stats.turns,
            "unread_bytes": stats.unread_bytes,
            "calls": {METHODS[index]: stats.calls[index] for index in range(RL_METHOD_COUNT)},
            "grpc_errors": [stats.grpc_errors[index] for index in range(17)],
            "http_errors": {rl_http_errors[index]: stats.http_errors[index] for index in range(RL_HTTP_ERROR_COUNT)},
            "shed": stats.shed,
            "deadline_passed": stats.deadline_passed,
            "abuse": {ABUSES[index]: stats.abuse[index] for index in range(RL_ABUSE_COUNT)},
            "latency": [stats.latency[index] for index in range(RL_LATENCY_BUCKETS + 1)],
            "latency_sum_ns": stats.latency_sum_ns,
            "tls_full": stats.tls_full,
            "tls_resumed": stats.tls_resumed,
            "tls_failures": {TLS_REASONS[index]: stats.tls_failures[index] for index in range(RL_TLS_REASON_COUNT)},
        }


cdef rl_view _view(bytes text):
    cdef rl_view out
    out.data = text
    out.size = <uint32_t>len(text)
    return out


cdef const snapshot_penalty *_penalty(const snapshot_domain *domain, bytes name) noexcept:
    cdef uint32_t index
    for index in range(domain.penalty_count):
        if <bytes>domain.penalties[index].name.data[:domain.penalties[index].name.size] == name:
            return &domain.penalties[index]
    return NULL


cdef _about(ban_text *out, bytes domain, bytes penalty, bytes key):
    out.domain_size = <uint8_t>min(len(domain), BAN_NAME_MAX)
    out.name_size = <uint8_t>min(len(penalty), BAN_NAME_MAX)
    out.key_size = <uint8_t>min(len(key), BAN_KEY_MAX)
    memcpy(out.domain, <const char *>domain, out.domain_size)
    memcpy(out.name, <const char *>penalty, out.name_size)
    memcpy(out.key, <const char *>key, out.key_size)


cdef dict _ban_dict(const ban *known, const ban_text *text):
    return {
        "domain": text.domain[:text.domain_size].decode("utf-8", "replace"),
        "penalty": text.name[:text.name_size].decode("utf-8", "replace"),
        "key": text.key[:text.key_size].decode("utf-8", "replace"),
        "digest": (<const char *>&known.digest)[:16],
        "until_ms": known.until_ms,
        "changed_ms": known.changed_ms,
        "quiet_ms": known.quiet_ms,
        "forgive_ms": known.forgive_ms,
        "level": known.level,
    }


cdef class _Key:
    """A limit's counter: its digest, where the limit is counted and the rate that applies."""

    cdef key_digest digest
    cdef uint32_t slot
    cdef const snapshot_rate *rate
    cdef Snapshot owner

    cdef set(self, const check_shared *shared, const snapshot_limit *limit, list parts):
        cdef rl_view views[8]
        cdef rl_view text
        cdef rl_address client
        cdef rl_address *known = NULL
        cdef uint32_t index
        cdef bytes joined = b"|".join(parts)
        if len(parts) != limit.key_count:
            raise EngineError(f"the key of this limit has {limit.key_count} parts, {len(parts)} given")
        for index in range(limit.key_count):
            views[index].data = <bytes>parts[index]
            views[index].size = <uint32_t>len(parts[index])
        text.data = joined
        text.size = <uint32_t>len(joined)
        if rl_address_parse(text, &client):
            known = &client
        self.slot = limit.slot
        key_digest_of(check_secret(shared), limit, views, &self.digest)
        self.rate = key_rate(limit, text, known)


def _differences(old, new):
    """Which limits keep their counters: those whose identity is in both plans."""

    def identities(plan):
        return {
            f"{domain.name.decode()}/{limit.name.decode()}": limit.identity
            for domain in plan.domains
            for limit in domain.limits
        }

    before, after = identities(old), identities(new)
    kept = [name for name, identity in after.items() if before.get(name) == identity]
    return {
        "kept": kept,
        "added": [name for name in after if name not in kept],
        "removed": [name for name in before if name not in kept],
    }
