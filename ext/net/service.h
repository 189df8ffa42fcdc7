// What each method does with a message: decode, decide, encode. One per worker.
#pragma once
#include <atomic>
#include <memory>

#include "core/spine.h"
#include "net/clock.h"
#include "wire/http.h"
#include "wire/http2.h"
#include "wire/messages.h"
#include "wire/reflection.h"
#include "wire/rls_messages.h"

namespace rl {

struct Service {
  rl_spine spine;
  uint32_t worker;
  uint32_t max_batch;
  const std::atomic<int> *health;  // RL_HEALTH_*, the server's
  const Reflection *reflection;    // NULL: no descriptors were given
  WireCounters *counters;
  int64_t max_wait_ns;  // INT64_MAX: any
  int64_t wall_ns;      // of this turn
  int64_t seen_ns;      // monotonic: since when what is being read has been waiting for us, at least
  TurnClock clock;
  uint64_t checks;  // decided so far
  std::unique_ptr<RequestArena> arena;
  std::unique_ptr<rl_verdict> verdict;
  std::unique_ptr<DescriptorArena> descriptors;
  std::unique_ptr<rl_descriptor_answer> answer;
  HttpDate date{};

  Http2Handler handler();
  HttpHandler http_handler();  // http_service.cc
};

// Tells a stream of Health/Watch what the health is now.
void tell_watcher(const Service &service, Http2Connection *connection, Http2Stream *stream);

}  // namespace rl
