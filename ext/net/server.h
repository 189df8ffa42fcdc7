// The server: listeners, workers and their loops. The only code that makes system calls on the path of a check.
//
// Life: rl_server_new -> rl_server_listen (any number) -> rl_server_start -> ... -> rl_server_drain -> rl_server_stop
// -> rl_server_free. All are called by one control thread; only rl_server_stats, rl_server_set_health,
// rl_server_tls_failures may be called any time between new and free, from any thread. Nothing here throws.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/service.h"
#include "core/spine.h"
#include "core/view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_server rl_server;

typedef struct rl_server_options {
  uint32_t workers;                // 1..RL_MAX_WORKERS
  uint32_t max_connections;        // over all workers; further ones are closed at once and counted
  uint32_t max_streams;            // concurrent streams of one connection (SETTINGS_MAX_CONCURRENT_STREAMS)
  uint32_t max_message;            // bytes of one gRPC message after decompression
  uint32_t max_header_list;        // bytes of one request's header list
  uint32_t max_batch;              // CheckBatch requests
  uint32_t idle_timeout_ms;        // 0: never; a connection without a stream is closed after it
  uint32_t stall_timeout_ms;       // a half-sent message, header block or unread answer: closed after it; 0: never
  uint32_t max_connection_age_ms;  // 0: never; +-10 % jitter, then GOAWAY and grace
  uint32_t max_connection_age_grace_ms;  // also when draining; 0: until the last call has ended
  uint32_t max_output;                   // bytes buffered for a slow reader before we stop reading from it
  uint32_t max_unread;   // bytes that unread answers and calls in progress of one worker may take (a call
                         // 1,280 and its answer); when it is more, the largest and slowest are closed
  uint32_t max_wait_ms;  // a check that has waited longer for its worker is not decided; 0: any
} rl_server_options;

enum { RL_MAX_WORKERS = 64 };

// Negative error codes of the functions below. rl_server_error() has the text of the last one.
enum {
  RL_OK = 0,
  RL_E_ADDRESS = -1,  // cannot parse, resolve or bind
  RL_E_SYSTEM = -2,   // a system call failed
  RL_E_MEMORY = -3,
  RL_E_STATE = -4,  // called out of order
  RL_E_TLS = -5,    // certificate, key, authorities or names cannot be used
};

// Copies options and spine. NULL when out of memory.
rl_server *rl_server_new(const rl_server_options *options, const rl_spine *spine);
void rl_server_free(rl_server *server);
const char *rl_server_error(const rl_server *server);

// "127.0.0.1:8081", "[::1]:0", ":8081" (all addresses), "unix:/run/ratelimitd.sock" (mode 0660;
// "unix:PATH?mode=0666&group=web" for others), "unix:@name" (abstract). Writes the address bound ("127.0.0.1:41234") to
// bound. Serves HTTP/1.1 and h2c with prior knowledge.
int rl_server_listen(rl_server *server, const char *address, char *bound, size_t bound_size);

// The same over TLS. Needs rl_server_set_tls before start.
int rl_server_listen_tls(rl_server *server, const char *address, char *bound, size_t bound_size);

// What TLS needs, as PEM text. Without client_ca anybody may ask; with it clients need a certificate from one of its
// authorities. client_names: one a line, DNS ("edge.example.com", "*.example.com") or URI ("spiffe://prod/edge",
// "spiffe://prod/*"); a client's certificate must then bear one of them.
typedef struct rl_tls_parts {
  rl_view certificate;  // its chain after it
  rl_view key;
  rl_view client_ca;
  rl_view client_names;
} rl_tls_parts;

enum { RL_TLS_TEXT = 192 };

// Times in seconds since the epoch.
typedef struct rl_tls_info {
  int64_t not_before, not_after;  // of the certificate
  int64_t client_ca_not_after;    // the first that ends; 0: there is none
  char certificate[RL_TLS_TEXT];  // its names
} rl_tls_info;

// For connections from now on; any time, also while it runs. When the parts are no working whole nothing changes.
int rl_server_set_tls(rl_server *server, const rl_tls_parts *parts, rl_tls_info *info);

enum {  // why a TLS handshake failed
  RL_TLS_NOT_TLS = 0,
  RL_TLS_NOTHING_IN_COMMON = 1,  // version, cipher, group or protocol
  RL_TLS_NO_CERTIFICATE = 2,     // of the client, as all of these
  RL_TLS_UNKNOWN_CA = 3,
  RL_TLS_EXPIRED = 4,  // or not valid yet
  RL_TLS_NAME = 5,     // none that is allowed
  RL_TLS_BAD_CERTIFICATE = 6,
  RL_TLS_REFUSED_BY_PEER = 7,  // it does not like ours
  RL_TLS_TIMEOUT = 8,
  RL_TLS_GONE = 9,  // it hung up
  RL_TLS_PROTOCOL_ERROR = 10,
  RL_TLS_REASON_COUNT = 11,
};

typedef struct rl_tls_failure {
  int reason;                     // RL_TLS_*
  char peer[64];                  // "203.0.113.7:40312"
  char detail[96];                // may be empty
  char certificate[RL_TLS_TEXT];  // names of the client's, when it is to blame
} rl_tls_failure;

// Takes out failed handshakes that were kept for the log, oldest first: a few a second, all are counted. Returns how
// many.
size_t rl_server_tls_failures(rl_server *server, rl_tls_failure *out, size_t most);

// A serialized google.protobuf.FileDescriptorSet for server reflection. Copied. Call before start.
int rl_server_set_descriptors(rl_server *server, const uint8_t *data, size_t size);

int rl_server_start(rl_server *server);

// Sets every service's health and wakes the watchers.
void rl_server_set_health(rl_server *server, int state);

// GOAWAY on every connection, no new ones; returns at once. The server is drained when rl_server_connections is 0.
void rl_server_drain(rl_server *server);
uint32_t rl_server_connections(const rl_server *server);

// Closes what is left and joins the threads.
void rl_server_stop(rl_server *server);

// Counters since start, summed over workers. Kept in step with the metrics in ratelimitd/admin/metrics.py.
enum { RL_LATENCY_BUCKETS = 16 };  // upper bounds in microseconds: see rl_latency_bounds_us
extern const uint32_t rl_latency_bounds_us[RL_LATENCY_BUCKETS];
extern const uint16_t *const rl_http_errors;  // the HTTP statuses that are counted

typedef struct rl_server_stats_t {
  uint64_t connections_accepted, connections_closed, connections_refused;
  uint64_t connections_by_worker[RL_MAX_WORKERS];  // open now
  uint64_t bytes_read, bytes_written, turns;
  uint64_t unread_bytes;  // now: see max_unread
  uint64_t calls[RL_METHOD_COUNT];
  uint64_t grpc_errors[17];                   // by grpc-status
  uint64_t http_errors[RL_HTTP_ERROR_COUNT];  // by status, see rl_http_errors
  uint64_t shed;                              // answered RESOURCE_EXHAUSTED for our own overload
  uint64_t deadline_passed;                   // answered DEADLINE_EXCEEDED instead of being decided
  uint64_t abuse[RL_ABUSE_COUNT];
  uint64_t latency[RL_LATENCY_BUCKETS + 1];  // per check: bytes read to answer written; the last is +Inf
  uint64_t latency_sum_ns;
  uint64_t tls_full, tls_resumed;  // handshakes
  uint64_t tls_failures[RL_TLS_REASON_COUNT];
} rl_server_stats_t;

void rl_server_stats(const rl_server *server, rl_server_stats_t *stats);

#ifdef __cplusplus
}
#endif
