"""A server with a spine that allows all but paths beginning with /deny, and the timer wheel, for tests only."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from ratelimitd._ext.core cimport rl_spine, rl_view
from ratelimitd._ext.net.server cimport (
    RL_ABUSE_COUNT,
    RL_HTTP_ERROR_COUNT,
    RL_LATENCY_BUCKETS,
    RL_METHOD_COUNT,
    RL_TLS_REASON_COUNT,
    rl_http_errors,
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


cdef extern from "net/probe_spine.h" namespace "rl" nogil:
    cdef cppclass Count "std::atomic<uint64_t>":
        uint64_t load()

    cdef cppclass ProbeSpine:
        Count checks
        Count violations
        rl_spine spine()


cdef extern from "net/timer.h" namespace "rl" nogil:
    cdef cppclass Timer:
        int64_t at_ns

    cdef cppclass TimerWheel:
        TimerWheel(int64_t now_ns)
        void arm(Timer *timer, int64_t at_ns)
        void cancel(Timer *timer)
        int sleep_ms(int64_t now_ns)


cdef extern from *:
    """
    static void expire_wheel(rl::TimerWheel *wheel, int64_t now_ns, std::vector<rl::Timer *> *due) {
      wheel->expire(now_ns, [due](rl::Timer *timer) { due->push_back(timer); });
    }
    """
    void expire_wheel(TimerWheel *wheel, int64_t now_ns, vector[Timer *] *due)


cdef class Wheel:
    """A timer wheel with `count` timers, called by their index."""

    cdef TimerWheel *_wheel
    cdef vector[Timer] _timers

    def __cinit__(self, int count, int64_t now_ns):
        self._wheel = new TimerWheel(now_ns)
        self._timers.resize(count)

    def __dealloc__(self):
        del self._wheel

    def arm(self, size_t index, int64_t at_ns):
        self._wheel.arm(&self._timers.at(index), at_ns)

    def cancel(self, size_t index):
        self._wheel.cancel(&self._timers.at(index))

    def expire(self, int64_t now_ns):
        cdef vector[Timer *] due
        expire_wheel(self._wheel, now_ns, &due)
        return [due[i] - self._timers.data() for i in range(due.size())]

    def sleep_ms(self, int64_t now_ns):
        return self._wheel.sleep_ms(now_ns)


cdef rl_view view(bytes text):
    cdef rl_view out
    out.data = text
    out.size = <uint32_t>len(text)
    return out


cdef class Server:
    """Options by the names of rl_server_options. Failures raise OSError(code, text)."""

    cdef rl_server *_server
    cdef ProbeSpine *_probe
    cdef uint32_t _workers

    def __cinit__(
        self,
        *,
        uint32_t workers=1,
        uint32_t max_connections=10_000,
        uint32_t max_streams=128,
        uint32_t max_message=1 << 20,
        uint32_t max_header_list=16 << 10,
        uint32_t max_batch=100,
        uint32_t idle_timeout_ms=0,
        uint32_t stall_timeout_ms=10_000,
        uint32_t max_connection_age_ms=0,
        uint32_t max_connection_age_grace_ms=0,
        uint32_t max_output=1 << 20,
        uint32_t max_unread=64 << 20,
        uint32_t max_wait_ms=0,
    ):
        cdef rl_server_options options
        cdef rl_spine spine
        options.workers = workers
        options.max_connections = max_connections
        options.max_streams = max_streams
        options.max_message = max_message
        options.max_header_list = max_header_list
        options.max_batch = max_batch
        options.idle_timeout_ms = idle_timeout_ms
        options.stall_timeout_ms = stall_timeout_ms
        options.max_connection_age_ms = max_connection_age_ms
        options.max_connection_age_grace_ms = max_connection_age_grace_ms
        options.max_output = max_output
        options.max_unread = max_unread
        options.max_wait_ms = max_wait_ms
        self._workers = workers
        self._probe = new ProbeSpine()
        spine = self._probe.spine()
        self._server = rl_server_new(&options, &spine)
        if self._server is NULL:
            raise MemoryError

    def __dealloc__(self):
        with nogil:
            rl_server_free(self._server)
        del self._probe

    cdef object _checked(self, int rc):
        if rc < 0:
            raise OSError(rc, rl_server_error(self._server).decode())

    def listen(self, str address):
        cdef char bound[256]
        cdef bytes text = address.encode()
        self._checked(rl_server_listen(self._server, text, bound, sizeof(bound)))
        return bound.decode()

    def listen_tls(self, str address):
        cdef char bound[256]
        cdef bytes text = address.encode()
        self._checked(rl_server_listen_tls(self._server, text, bound, sizeof(bound)))
        return bound.decode()

    def set_tls(self, bytes certificate, bytes key, bytes client_ca=b"", bytes client_names=b""):
        cdef rl_tls_parts parts
        cdef rl_tls_info info
        parts.certificate = view(certificate)
        parts.key = view(key)
        parts.client_ca = view(client_ca)
        parts.client_names = view(client_names)
        self._checked(rl_server_set_tls(self._server, &parts, &info))
        return {
            "not_before": info.not_before,
            "not_after": info.not_after,
            "client_ca_not_after": info.client_ca_not_after,
            "certificate": (<bytes>info.certificate).decode(),
        }

    def tls_failures(self):
        cdef rl_tls_failure failures[64]
        cdef size_t count = rl_server_tls_failures(self._server, failures, 64)
        return [
            {
                "reason": failures[i].reason,
                "peer": (<bytes>failures[i].peer).decode(),
                "detail": (<bytes>failures[i].detail).decode(),
                "certificate": (<bytes>failures[i].certificate).decode(),
            }
            for i in range(count)
        ]

    def set_descriptors(self, bytes descriptors):
        self._checked(rl_server_set_descriptors(self._server, descriptors, len(descriptors)))

    def start(self):
        self._checked(rl_server_start(self._server))

    def set_health(self, int state):
        rl_server_set_health(self._server, state)

    def drain(self):
        with nogil:
            rl_server_drain(self._server)

    def connections(self):
        return rl_server_connections(self._server)

    def stop(self):
        with nogil:
            rl_server_stop(self._server)

    def checks(self):
        return self._probe.checks.load()

    def violations(self):
        return self._probe.violations.load()

    def stats(self):
        cdef rl_server_stats_t s
        rl_server_stats(self._server, &s)
        return {
            "connections_accepted": s.connections_accepted,
            "connections_closed": s.connections_closed,
            "connections_refused": s.connections_refused,
            "connections_by_worker": [s.connections_by_worker[i] for i in range(self._workers)],
            "bytes_read": s.bytes_read,
            "bytes_written": s.bytes_written,
            "turns": s.turns,
            "unread_bytes": s.unread_bytes,
            "calls": [s.calls[i] for i in range(RL_METHOD_COUNT)],
            "grpc_errors": [s.grpc_errors[i] for i in range(17)],
            "http_errors": {rl_http_errors[i]: s.http_errors[i] for i in range(RL_HTTP_ERROR_COUNT)},
            "shed": s.shed,
            "deadline_passed": s.deadline_passed,
            "abuse": [s.abuse[i] for i in range(RL_ABUSE_COUNT)],
            "latency": [s.latency[i] for i in range(RL_LATENCY_BUCKETS + 1)],
            "latency_sum_ns": s.latency_sum_ns,
            "tls_full": s.tls_full,
            "tls_resumed": s.tls_resumed,
            "tls_failures": [s.tls_failures[i] for i in range(RL_TLS_REASON_COUNT)],
        }
