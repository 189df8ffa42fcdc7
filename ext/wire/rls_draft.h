// A rate limit call in the making, whichever the format it comes in: entries become attributes, bounds are held, and
// the first thing that is wrong is told by the name of its field.
#pragma once
#include "wire/rls_messages.h"

namespace rl {

struct RateLimitDraft {
  DescriptorArena *arena;
  rl_descriptor_call *call;
  DecodeError error = nullptr;
  uint32_t attribute_count = 0;  // of all descriptors
  uint32_t entry_count = 0;      // of this one
  uint64_t hits = 1;             // of the request
  bool own_hits[RL_MAX_DESCRIPTORS] = {};

  // Clears what the arena held. `bytes`: the size of the message; `texts`: bytes of room that the reader wants besides,
  // at *room. False: out of memory.
  bool begin(size_t bytes, size_t texts, char **room);
  // False when there are too many.
  bool begin_descriptor();
  void add_entry(rl_view key, rl_view value);
  // unit: of envoy.type.v3.RateLimitUnit.
  void set_limit(uint64_t limit, uint64_t unit);
  void set_hits(uint64_t own);
  void set_refund(bool refund) { descriptor()->refund = refund; }
  // After its entries: the keys as one text.
  void end_descriptor();
  // What is to be said of the call as a whole.
  DecodeError end();

  uint32_t at() const { return call->count - 1; }
  rl_descriptor *descriptor() { return &arena->descriptors[at()]; }
  // The first error stays.
  __attribute__((format(printf, 2, 3))) void fail(const char *format, ...);
};

}  // namespace rl
