#include "net/stats.h"

#include "wire/http.h"

extern "C" const uint32_t rl_latency_bounds_us[RL_LATENCY_BUCKETS] = {
    10, 25, 50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000};

extern "C" const uint16_t *const rl_http_errors = rl::kHttpErrors;

namespace rl {

void WorkerStats::add_latency(int64_t elapsed_ns, uint64_t checks) {
  int bucket = 0;
  while (bucket < RL_LATENCY_BUCKETS && elapsed_ns > int64_t{rl_latency_bounds_us[bucket]} * 1000) ++bucket;
  latency[bucket].add(checks);
  latency_sum_ns.add(checks * static_cast<uint64_t>(elapsed_ns));
}

void WorkerStats::add_to(rl_server_stats_t *sum) const {
  sum->connections_closed += closed.get();
  sum->bytes_read += bytes_read.get();
  sum->bytes_written += bytes_written.get();
  sum->turns += turns.get();
  sum->unread_bytes += held.get();
  for (int i = 0; i < RL_METHOD_COUNT; ++i) sum->calls[i] += wire.calls[i].get();
  for (int i = 0; i < kStatusCount; ++i) sum->grpc_errors[i] += wire.grpc_errors[i].get();
  for (int i = 0; i < RL_HTTP_ERROR_COUNT; ++i) sum->http_errors[i] += wire.http_errors[i].get();
  for (int i = 0; i < RL_ABUSE_COUNT; ++i) sum->abuse[i] += wire.abuse[i].get();
  sum->shed += wire.shed.get();
  sum->deadline_passed += wire.deadline_passed.get();
  for (int i = 0; i <= RL_LATENCY_BUCKETS; ++i) sum->latency[i] += latency[i].get();
  sum->latency_sum_ns += latency_sum_ns.get();
  sum->tls_full += tls_full.get();
  sum->tls_resumed += tls_resumed.get();
  for (int i = 0; i < RL_TLS_REASON_COUNT; ++i) sum->tls_failures[i] += tls_failures[i].get();
}

}  // namespace rl
