// What the encoders of every door share: names of reasons, and the parts of an answer that a client sees.
#pragma once
#include <algorithm>

#include "wire/messages.h"
#include "wire/protobuf.h"

namespace rl {

// "over_limit", as in logs and metrics.
std::string_view reason_name(uint8_t reason);

// The limit that the client is told about: the one that denied, else the enforced one nearest to its end. NULL when
// there is none.
const rl_limit_state *told_state(const rl_verdict &verdict);

// The limit, rule or list that decided; empty when nothing objected.
rl_view decided_by(const rl_verdict &verdict);

// Is the limit enforced here, so that clients may know of it?
inline bool is_enforced(const rl_limit_state &state) { return !state.shadow && !state.unlimited; }

// A denial that no limit explains has an opaque reference, and nothing that helps an attacker find out why.
inline bool has_reference(const rl_verdict &verdict) {
  return verdict.decision == RL_DENY && verdict.reason != RL_REASON_OVER_LIMIT && verdict.reference != 0;
}

// The status of a denial; 403 when the verdict's makes no sense.
inline uint32_t denial_status(const rl_verdict &verdict) {
  return verdict.status >= 200 && verdict.status <= 599 ? verdict.status : 403;
}

// RateLimit-Policy is cut, by whole items, to this many bytes.
inline constexpr size_t kMaxPolicyHeader = 1024;
// Room for all of client_headers() with at most `overhead` bytes of framing for each.
size_t client_headers_room(const rl_verdict &verdict, size_t overhead);

// The body of a denial, at a place with denial_body_room() bytes of room. Returns its end.
size_t denial_body_room(const rl_verdict &verdict);
char *write_denial_body(const rl_verdict &verdict, char *to);

}  // namespace rl
