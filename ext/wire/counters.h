// What the connections of one thread count, whatever they speak. Written by that thread, read by any.
#pragma once
#include "core/service.h"
#include "wire/counter.h"
#include "wire/grpc.h"

namespace rl {

struct WireCounters {
  Counter calls[RL_METHOD_COUNT];
  Counter grpc_errors[kStatusCount];
  Counter http_errors[RL_HTTP_ERROR_COUNT];
  Counter shed;
  Counter deadline_passed;
  Counter abuse[RL_ABUSE_COUNT];
};

}  // namespace rl
