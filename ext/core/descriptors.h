// What the rate limit service is asked, and what it answers: some descriptors, each decided like a request of its own.
// Written by wire/, read by descriptors.pyx, and the other way round.
#pragma once
#include "core/view.h"

enum {
  RL_MAX_DESCRIPTORS = 32,  // of a call; more: INVALID_ARGUMENT
  RL_MAX_ENTRIES = 32,      // of a descriptor
  RL_MAX_ALL_ENTRIES = 256  // of a call
};

typedef struct rl_descriptor {
  // "descriptor": the keys, joined by "|"; then "descriptor.KEY" of each entry, in order. The second entry of a key is
  // "descriptor.KEY#2". In keys "|", "#" and "%" are %7C, %23 and %25.
  const rl_pair *attributes;
  uint32_t attribute_count;
  uint32_t hits;       // 0 only looks
  rl_view address;     // of the entry remote_address, if it has one
  uint64_t window_ms;  // of the limit that the descriptor brings along; 0: it brings none
  uint32_t limit;
  uint8_t refund;  // the hits are given back
} rl_descriptor;

typedef struct rl_descriptor_call {
  rl_view domain;
  const rl_descriptor *descriptors;
  uint32_t count;  // at least 1
} rl_descriptor_call;

enum { RL_APPLIES_NOTHING = 0, RL_APPLIES_LIMIT = 1, RL_APPLIES_UNLIMITED = 2 };

typedef struct rl_descriptor_status {
  rl_view name;        // of the limit that is told: one that is over, else the nearest to its end
  uint64_t limit;      // hits per window
  uint64_t remaining;  // 0 when over
  uint64_t window_ms;
  uint32_t reset_s;  // until the window ends, rounded up
  uint8_t applies;   // RL_APPLIES_*; if it is not LIMIT, nothing above says anything
  uint8_t over;
} rl_descriptor_status;

typedef struct rl_descriptor_answer {
  uint8_t over;                          // of the whole call
  uint32_t count;                        // of statuses
  uint32_t metadata_count;               // of metadata
  rl_view metadata[RL_MAX_DESCRIPTORS];  // google.protobuf.Struct each, to be merged: of equal keys the last one counts
  rl_descriptor_status statuses[RL_MAX_DESCRIPTORS];
} rl_descriptor_answer;
