#include "wire/answer.h"

namespace rl {

std::string_view reason_name(uint8_t reason) {
  static constexpr std::string_view kNames[RL_REASON_COUNT] = {
      "none",         "allow_list", "deny_list", "over_limit", "scan",
      "partial_body", "no_policy",  "overload",  "penalty",    "store_lost",
  };
  return reason < RL_REASON_COUNT ? kNames[reason] : "none";
}

const rl_limit_state *told_state(const rl_verdict &verdict) {
  int index =
      verdict.decision == RL_DENY && verdict.deciding_state >= 0 ? verdict.deciding_state : verdict.tightest_state;
  if (index < 0 || index >= verdict.state_count) return nullptr;
  const rl_limit_state *state = &verdict.states[index];
  return is_enforced(*state) ? state : nullptr;
}

rl_view decided_by(const rl_verdict &verdict) {
  if (verdict.deciding_state >= 0 && verdict.deciding_state < verdict.state_count) {
    return verdict.states[verdict.deciding_state].name;
  }
  if (verdict.deciding_match >= 0 && verdict.deciding_match < verdict.match_count) {
    return verdict.matches[verdict.deciding_match].id;
  }
  return verdict.penalty.size ? verdict.penalty : verdict.list;
}

}  // namespace rl
