// Problem details (RFC 9457) of a denial. Limits are named, as draft-ietf-httpapi-ratelimit-headers has it; of scans
// and lists the client learns nothing but a reference.
#include "wire/answer.h"
#include "wire/http.h"

namespace rl {

namespace {

constexpr std::string_view kProblemTypes = "https://iana.org/assignments/http-problem-types#";
constexpr uint32_t kMaxName = 128;
constexpr size_t kNameRoom = 6 * kMaxName + 3;

bool is_violated(const rl_verdict &verdict, uint32_t i) {
  const rl_limit_state &state = verdict.states[i];
  return is_enforced(state) && (state.over || static_cast<int>(i) == verdict.deciding_state);
}

char *write_violated(const rl_verdict &verdict, char *to) {
  to = copy(to, std::string_view(",\"violated-policies\":["));
  bool first = true;
  for (uint32_t i = 0; i < verdict.state_count; i++) {
    if (!is_violated(verdict, i)) continue;
    if (!first) *to++ = ',';
    first = false;
    to = write_json_string(to, clip_utf8(verdict.states[i].name, kMaxName));
  }
  *to++ = ']';
  return to;
}

char *write_type(std::string_view name, char *to) {
  to = copy(copy(to, std::string_view("\"type\":\"")), kProblemTypes);
  return copy(copy(to, name), std::string_view("\","));
}

}  // namespace

size_t denial_body_room(const rl_verdict &verdict) {
  size_t room = 384;
  for (uint32_t i = 0; i < verdict.state_count; i++) room += is_violated(verdict, i) ? kNameRoom : 0;
  return room;
}

char *write_denial_body(const rl_verdict &verdict, char *to) {
  uint32_t status = denial_status(verdict);
  std::string_view title = status_phrase(status);
  *to++ = '{';
  if (verdict.reason == RL_REASON_OVER_LIMIT) {
    to = write_type("quota-exceeded", to);
    title = "Request cannot be satisfied as assigned quota has been exceeded";
  } else if (verdict.reason == RL_REASON_OVERLOAD || verdict.reason == RL_REASON_STORE_LOST) {
    to = write_type("temporary-reduced-capacity", to);
    title = "Request cannot be satisfied due to temporary server capacity constraints";
  }
  to = copy(copy(to, std::string_view("\"title\":\"")), title);
  to = write_decimal(copy(to, std::string_view("\",\"status\":")), status);
  if (verdict.reason == RL_REASON_OVER_LIMIT) to = write_violated(verdict, to);
  if (has_reference(verdict)) {
    to = write_hex(copy(to, std::string_view(",\"reference\":\"")), verdict.reference);
    *to++ = '"';
  }
  *to++ = '}';
  return to;
}

void denial_body(const rl_verdict &verdict, Buffer *out) {
  char *to = out->reserve(denial_body_room(verdict));
  if (to) out->commit(static_cast<size_t>(write_denial_body(verdict, to) - to));
}

}  // namespace rl
