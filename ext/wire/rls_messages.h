// envoy.service.ratelimit.v3: proto/envoy/service/ratelimit/v3/rls.proto.
#pragma once
#include "core/descriptors.h"
#include "core/verdict.h"
#include "wire/messages.h"

namespace rl {

// Memory for one call at a time. One per worker.
struct DescriptorArena {
  rl_descriptor descriptors[RL_MAX_DESCRIPTORS];
  rl_pair attributes[RL_MAX_ALL_ENTRIES + RL_MAX_DESCRIPTORS];
  Buffer text;  // names of attributes
  char error[160];
};

enum : uint32_t {
  kMaxRateLimitRequest = 128 << 10,  // bytes of a RateLimitRequest
  kMaxEntryKey = 256,                // bytes
  kMaxEntryValue = 4096,
};

// RateLimitRequest. Views point into bytes or the arena; so may the error.
DecodeError decode_rate_limit(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out);
// The same in protobuf's JSON mapping. A name that the contract does not know, or one given twice, is an error.
DecodeError decode_rate_limit_json(rl_view bytes, DescriptorArena *arena, rl_descriptor_call *out);

// RateLimitResponse.RateLimit.Unit; 0 when none is so long.
uint32_t unit_of_window(uint64_t window_ms);
// RateLimitResponse; appended.
void encode_rate_limit(const rl_descriptor_answer &answer, const rl_verdict &verdict, Buffer *out);
void encode_rate_limit_json(const rl_descriptor_answer &answer, const rl_verdict &verdict, Buffer *out);

}  // namespace rl
