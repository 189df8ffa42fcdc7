#include "match/matcher.h"

#include <cstdio>
#include <new>

#include "match/set.h"
#include "match/text.h"

namespace rl {
namespace {

int fail(const char *reason, char *error, size_t error_size) {
  if (error_size != 0) snprintf(error, error_size, "%s", reason);
  return -1;
}

int add_condition(rl_matcher *matcher, const rl_condition *from, char *error, size_t error_size) {
  if (matcher->finished) return fail("the matcher is finished", error, error_size);
  if (matcher->entries.empty() || matcher->entries.back() == matcher->alternatives.size()) {
    return fail("a condition needs an alternative", error, error_size);
  }
  Condition condition;
  std::string reason;
  if (!condition_compile(*from, &condition, &reason)) return fail(reason.c_str(), error, error_size);
  condition.slot = index_slot(&matcher->index, from->source, from->name);
  matcher->conditions.push_back(std::move(condition));
  matcher->alternatives.back().count++;
  return 0;
}

// An anchor that its set vouches for is never asked for itself.
bool compile_regexes(rl_matcher *matcher, std::string *error) {
  for (const Alternative &alternative : matcher->alternatives) {
    for (uint32_t i = alternative.implied; i < alternative.count; i++) {
      Condition &condition = matcher->conditions[alternative.first + i];
      if (condition.op != RL_OP_REGEX || condition.operands.empty()) continue;
      condition.regex = regex_compile(condition.operands, error);
      if (condition.regex == nullptr) return false;
    }
  }
  return true;
}

bool build_index(rl_matcher *matcher, std::string *error) {
  for (const Condition &condition : matcher->conditions) {
    if (condition.op == RL_OP_REGEX) matcher->index.slots[condition.slot].regex_count++;
  }
  for (uint32_t id = 0; id < matcher->alternatives.size(); id++) {
    index_add(&matcher->index, id, &matcher->alternatives[id], matcher->conditions.data());
  }
  matcher->finished = index_finish(&matcher->index, error) && compile_regexes(matcher, error);
  return matcher->finished;
}

}  // namespace
}  // namespace rl

rl_matcher *rl_matcher_new(void) { return new (std::nothrow) rl_matcher(); }

void rl_matcher_free(rl_matcher *matcher) { delete matcher; }

int rl_matcher_entry(rl_matcher *matcher) {
  if (matcher->finished) return -1;
  try {
    matcher->entries.push_back(static_cast<uint32_t>(matcher->alternatives.size()));
    return 0;
  } catch (const std::bad_alloc &) {
    return -1;
  }
}

int rl_matcher_alternative(rl_matcher *matcher) {
  if (matcher->finished || matcher->entries.empty()) return -1;
  try {
    const auto entry = static_cast<uint32_t>(matcher->entries.size()) - 1;
    matcher->alternatives.push_back({entry, static_cast<uint32_t>(matcher->conditions.size()), 0, 0});
    return 0;
  } catch (const std::bad_alloc &) {
    return -1;
  }
}

int rl_matcher_condition(rl_matcher *matcher, const rl_condition *condition, char *error, size_t error_size) {
  try {
    return rl::add_condition(matcher, condition, error, error_size);
  } catch (const std::bad_alloc &) {
    return rl::fail("out of memory", error, error_size);
  }
}

int rl_matcher_finish(rl_matcher *matcher, char *error, size_t error_size) {
  if (matcher->finished) return rl::fail("the matcher is finished", error, error_size);
  try {
    std::string reason;
    return rl::build_index(matcher, &reason) ? 0 : rl::fail(reason.c_str(), error, error_size);
  } catch (const std::bad_alloc &) {
    return rl::fail("out of memory", error, error_size);
  }
}
