# net/server.h for Cython. The header holds the documentation.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_spine, rl_view


cdef extern from "net/server.h" nogil:
    enum:
        RL_MAX_WORKERS
        RL_LATENCY_BUCKETS
        RL_METHOD_COUNT
        RL_ABUSE_COUNT
        RL_HTTP_ERROR_COUNT
        RL_TLS_REASON_COUNT
        RL_HEALTH_SERVING
        RL_HEALTH_NOT_SERVING
        RL_OK

    ctypedef struct rl_server:
        pass

    ctypedef struct rl_server_options:
        uint32_t workers
        uint32_t max_connections
        uint32_t max_streams
        uint32_t max_message
        uint32_t max_header_list
        uint32_t max_batch
        uint32_t idle_timeout_ms
        uint32_t stall_timeout_ms
        uint32_t max_connection_age_ms
        uint32_t max_connection_age_grace_ms
        uint32_t max_output
        uint32_t max_unread
        uint32_t max_wait_ms

    ctypedef struct rl_server_stats_t:
        uint64_t connections_accepted, connections_closed, connections_refused
        uint64_t *connections_by_worker
        uint64_t bytes_read, bytes_written, turns
        uint64_t unread_bytes
        uint64_t *calls
        uint64_t *grpc_errors
        uint64_t *http_errors
        uint64_t shed
        uint64_t deadline_passed
        uint64_t *abuse
        uint64_t *latency
        uint64_t latency_sum_ns
        uint64_t tls_full, tls_resumed
        uint64_t *tls_failures

    ctypedef struct rl_tls_parts:
        rl_view certificate, key, client_ca, client_names

    ctypedef struct rl_tls_info:
        int64_t not_before, not_after, client_ca_not_after
        char *certificate

    ctypedef struct rl_tls_failure:
        int reason
        char *peer
        char *detail
        char *certificate

    const uint32_t *rl_latency_bounds_us
    const uint16_t *rl_http_errors

    rl_server *rl_server_new(const rl_server_options *options, const rl_spine *spine) noexcept
    void rl_server_free(rl_server *server) noexcept
    const char *rl_server_error(const rl_server *server) noexcept
    int rl_server_listen(rl_server *server, const char *address, char *bound, size_t bound_size) noexcept
    int rl_server_listen_tls(rl_server *server, const char *address, char *bound, size_t bound_size) noexcept
    int rl_server_set_tls(rl_server *server, const rl_tls_parts *parts, rl_tls_info *info) noexcept
    size_t rl_server_tls_failures(rl_server *server, rl_tls_failure *out, size_t most) noexcept
    int rl_server_set_descriptors(rl_server *server, const uint8_t *data, size_t size) noexcept
    int rl_server_start(rl_server *server) noexcept
    void rl_server_set_health(rl_server *server, int state) noexcept
    void rl_server_drain(rl_server *server) noexcept
    uint32_t rl_server_connections(const rl_server *server) noexcept
    void rl_server_stop(rl_server *server) noexcept
    void rl_server_stats(const rl_server *server, rl_server_stats_t *stats) noexcept
