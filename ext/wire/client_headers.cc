// RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), x-ratelimit-*, Retry-After and the
// reference.
#include "wire/answer.h"

namespace rl {

namespace {

constexpr size_t kMaxHeaders = 13;

rl_view written(const char *from, const char *end) { return {from, static_cast<uint32_t>(end - from)}; }

// The items of all enforced limits, joined. One item is passed on as it is.
rl_view policy_header(const rl_verdict &verdict, char *scratch) {
  rl_view joined{};
  for (uint32_t i = 0; i < verdict.state_count; i++) {
    const rl_limit_state &state = verdict.states[i];
    rl_view item = state.policy_item;
    if (!is_enforced(state) || item.size == 0 || joined.size + 2 + item.size > kMaxPolicyHeader) continue;
    if (joined.size == 0) {
      joined = item;
      continue;
    }
    char *at = joined.data == scratch ? scratch + joined.size : copy(scratch, joined);
    at = copy(copy(at, std::string_view(", ")), item);
    joined = written(scratch, at);
  }
  return joined;
}

// The limit's name as a structured-field string: policy_item begins with it, unless that was made otherwise.
char *write_quoted_name(char *to, const rl_limit_state &state) {
  rl_view name = state.name, item = state.policy_item;
  bool plain = item.size >= name.size + 2 && item.data[0] == '"' && item.data[name.size + 1] == '"' && name.size > 0 &&
               name.size <= kMaxText && std::memcmp(item.data + 1, name.data, name.size) == 0;
  if (plain) return copy(to, rl_view{item.data, name.size + 2});
  return write_sf_string(to, clip_utf8(name, kMaxText));
}

// Seconds until the limit is fresh again, rounded up; for a denial the same as Retry-After.
uint64_t reset_seconds(const rl_verdict &verdict, const rl_limit_state &state) {
  if (verdict.retry_after_s) return verdict.retry_after_s;
  return (static_cast<uint64_t>(state.reset_after_ms) + 999) / 1000;
}

}  // namespace

size_t client_headers_room(const rl_verdict &verdict, size_t overhead) {
  size_t items = 0;
  for (uint32_t i = 0; i < verdict.state_count; i++) items += verdict.states[i].policy_item.size + 2;
  const rl_limit_state *told = told_state(verdict);
  size_t name = told ? 2 * std::min(told->name.size, kMaxText) : 0;
  // 32 bytes hold the longest name of a field, 40 the longest value without the policy's and the limit's names.
  return std::min(items, kMaxPolicyHeader) + name + kMaxHeaders * (overhead + 32 + 40);
}

void client_headers(const rl_verdict &verdict, HeaderSink sink, void *context) {
  char scratch[kMaxPolicyHeader + 2 * kMaxText];
  auto number = [&](std::string_view name, uint64_t value) {
    sink(context, view_of(name), written(scratch, write_decimal(scratch, value)));
  };
  const rl_limit_state *told = told_state(verdict);
  if (verdict.header_families & RL_HEADERS_IETF) {
    rl_view policy = policy_header(verdict, scratch);
    if (policy.size) sink(context, view_of("ratelimit-policy"), policy);
    if (told) {
      char *at = write_quoted_name(scratch, *told);
      at = write_decimal(copy(at, std::string_view(";r=")), told->remaining);
      at = write_decimal(copy(at, std::string_view(";t=")), reset_seconds(verdict, *told));
      sink(context, view_of("ratelimit"), written(scratch, at));
    }
  }
  if (told && verdict.header_families & RL_HEADERS_X_RATELIMIT) {
    number("x-ratelimit-limit", told->limit);
    number("x-ratelimit-remaining", told->remaining);
    number("x-ratelimit-reset", reset_seconds(verdict, *told));
  }
  if (told && verdict.header_families & RL_HEADERS_DRAFT_03) {
    number("ratelimit-limit", told->limit);
    number("ratelimit-remaining", told->remaining);
    number("ratelimit-reset", reset_seconds(verdict, *told));
  }
  if (verdict.retry_after_s) number("retry-after", verdict.retry_after_s);
  if (verdict.decision != RL_DENY) return;
  sink(context, view_of("content-type"), view_of("application/problem+json"));
  if (has_reference(verdict)) {
    sink(context, view_of("x-ratelimitd-reference"), written(scratch, write_hex(scratch, verdict.reference)));
  }
}

}  // namespace rl
