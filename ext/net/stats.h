// What one worker counts. Written by its thread alone, summed by whoever asks.
#pragma once
#include <cstdint>

#include "net/server.h"
#include "wire/counters.h"

namespace rl {

struct alignas(64) WorkerStats {
  WireCounters wire;
  Counter closed;
  Counter held;  // bytes, now
  Counter bytes_read, bytes_written, turns;
  Counter latency[RL_LATENCY_BUCKETS + 1];
  Counter latency_sum_ns;
  Counter tls_full, tls_resumed;
  Counter tls_failures[RL_TLS_REASON_COUNT];

  // `checks` were decided between one read and one write.
  void add_latency(int64_t elapsed_ns, uint64_t checks);
  void add_to(rl_server_stats_t *sum) const;
};

}  // namespace rl
