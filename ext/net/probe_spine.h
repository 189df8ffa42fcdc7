// The smallest spine, for tests of the server alone: denies what begins with /deny, allows the rest, takes as many
// milliseconds as its cost says for what begins with /slow, and checks the contract of enter, check and leave while it
// is at it.
#pragma once
#include <atomic>
#include <cstring>

#include "core/spine.h"
#include "net/clock.h"
#include "net/server.h"

namespace rl {

struct ProbeSpine {
  std::atomic<uint64_t> checks{0};
  std::atomic<uint64_t> violations{0};  // a check outside of enter ... leave, or a turn entered twice
  std::atomic<bool> inside[RL_MAX_WORKERS] = {};

  rl_spine spine() { return {this, enter, leave, check, inspect, rate_limit}; }

  static void enter(void *self, uint32_t worker) {
    auto *probe = static_cast<ProbeSpine *>(self);
    if (probe->inside[worker].exchange(true)) probe->violations.fetch_add(1);
  }
  static void leave(void *self, uint32_t worker) {
    auto *probe = static_cast<ProbeSpine *>(self);
    if (!probe->inside[worker].exchange(false)) probe->violations.fetch_add(1);
  }
  static void check(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict) {
    auto *probe = static_cast<ProbeSpine *>(self);
    if (!probe->inside[worker].load() || now_ns < 1'600'000'000'000'000'000) probe->violations.fetch_add(1);
    const uint64_t nth = probe->checks.fetch_add(1);
    if (request->path.size >= 5 && std::memcmp(request->path.data, "/slow", 5) == 0) {
      const int64_t until = monotonic_ns() + request->cost * kMillisecond;
      while (monotonic_ns() < until) {
      }
    }
    const bool deny = request->path.size >= 5 && std::memcmp(request->path.data, "/deny", 5) == 0;
    // Field by field: the arrays are large, and their first state_count and match_count entries are all that is read.
    verdict->decision = deny ? RL_DENY : RL_ALLOW;
    verdict->reason = deny ? RL_REASON_DENY_LIST : RL_REASON_NONE;
    verdict->shadow_denied = 0;
    verdict->header_families = RL_HEADERS_NONE;
    verdict->status = deny ? 429 : 200;
    verdict->inspected_all = 1;
    verdict->deciding_state = verdict->deciding_match = verdict->tightest_state = -1;
    verdict->state_count = verdict->match_count = 0;
    verdict->score = static_cast<uint32_t>(nth);  // tells the order in which requests were decided
    verdict->retry_after_s = 0;
    verdict->bytes_inspected = request->body.size;
    verdict->reference = 0;
    verdict->domain = {"probe", 5};
    verdict->list = {};
  }
  static void inspect(void *self, uint32_t worker, int64_t now_ns, const rl_request *request,
                      const rl_response *response, rl_verdict *verdict) {
    check(self, worker, now_ns, request, verdict);
    verdict->bytes_inspected = response->body.size;
    if (verdict->decision == RL_ALLOW) verdict->status = response->status;
  }
  static void rate_limit(void *self, uint32_t worker, int64_t now_ns, const rl_descriptor_call *call,
                         rl_descriptor_answer *answer, rl_verdict *verdict) {
    rl_request request{};
    check(self, worker, now_ns, &request, verdict);
    answer->over = 0;
    answer->metadata_count = 0;
    answer->count = call->count;
    for (uint32_t i = 0; i < call->count; i++) answer->statuses[i] = {};
  }
};

}  // namespace rl
