// What the decoders of every door share: filling an rl_request from headers, attributes and numbers.
#pragma once
#include "wire/messages.h"
#include "wire/protobuf.h"

namespace rl {

// One request in the making. The first error stays, but that the message is malformed outweighs what else is wrong with
// it.
struct RequestDraft {
  rl_request *request;
  RequestArena *arena;
  size_t message_size;  // no header name is longer, nor all of them together
  DecodeError error = nullptr;
  uint32_t attributes_seen = 0;     // duplicates too: they cost a search each
  bool envoy_partial_body = false;  // x-envoy-auth-partial-body: true
  // Used where the request itself says nothing.
  rl_view pseudo_method{}, pseudo_path{}, pseudo_scheme{}, pseudo_authority{}, host_header{};

  RequestDraft(rl_view message, RequestArena *memory, rl_request *out);
  void fail(DecodeError why) {
    if (!error) error = why;
  }
  void malformed(DecodeError why) { error = why; }
  // Settles what comes from more than one place; call last. NULL or the error.
  DecodeError finish();
};

// Reads one field of a ratelimitd.v1.CheckRequest; how the message ends is the caller's.
void read_check_field(RequestDraft *draft, ProtoReader *reader);
// What a ratelimitd.v1.CheckRequest must hold as a whole; then finish().
DecodeError finish_check(RequestDraft *draft);

// Adds one header: pseudo-headers are kept aside, names come out lower-case, empty names are dropped.
void add_header(RequestDraft *draft, rl_view name, rl_view value);
// A header's name in lower case, in the arena if need be; empty when memory ran out.
rl_view lower_name(RequestDraft *draft, rl_view name);
// Adds one attribute; the last value of a name wins, as in every protobuf map.
void add_attribute(RequestDraft *draft, rl_view name, rl_view value);

// A whole decimal number up to 2^32 - 1.
bool parse_decimal(rl_view text, uint32_t *value);

}  // namespace rl
