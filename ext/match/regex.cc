#include "match/regex.h"

#include <cstdlib>

namespace rl {
namespace {

constexpr unsigned kFlags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;

std::string take_message(hs_compile_error_t *failure) {
  std::string message = failure != nullptr && failure->message != nullptr ? failure->message : "out of memory";
  hs_free_compile_error(failure);
  return message;
}

// Each pattern must stand on its own: "a)|(b" would otherwise escape from the group that anchors it.
bool check_alone(const std::string &pattern, std::string *error) {
  hs_expr_info_t *info = nullptr;
  hs_compile_error_t *failure = nullptr;
  if (hs_expression_info(pattern.c_str(), kFlags, &info, &failure) == HS_SUCCESS) {
    free(info);
    return true;
  }
  *error = "regex '" + pattern + "': " + take_message(failure);
  return false;
}

int on_match(unsigned, unsigned long long, unsigned long long, unsigned, void *found) {
  *static_cast<bool *>(found) = true;
  return 1;
}

}  // namespace

Regex regex_compile(const std::vector<std::string> &patterns, std::string *error) {
  std::vector<std::string> anchored;
  for (const std::string &pattern : patterns) {
    if (pattern.find('\0') != std::string::npos) {
      *error = "regex '" + std::string(pattern.c_str()) + "': a zero byte is written \\x00";
      return nullptr;
    }
    if (!check_alone(pattern, error)) return nullptr;
    anchored.push_back("\\A(?:" + pattern + ")\\z");
  }
  std::vector<const char *> expressions;
  for (const std::string &pattern : anchored) expressions.push_back(pattern.c_str());
  const std::vector<unsigned> flags(expressions.size(), kFlags);
  hs_database_t *database = nullptr;
  hs_compile_error_t *failure = nullptr;
  const auto count = static_cast<unsigned>(expressions.size());
  if (hs_compile_multi(expressions.data(), flags.data(), nullptr, count, HS_MODE_BLOCK, nullptr, &database, &failure) !=
      HS_SUCCESS) {
    const bool known = failure != nullptr && failure->expression >= 0 && failure->expression < static_cast<int>(count);
    const std::string &pattern = patterns[known ? static_cast<size_t>(failure->expression) : 0];
    *error = "regex '" + pattern + "': " + take_message(failure);
    return nullptr;
  }
  return Regex(database);
}

bool regex_match(const hs_database_t *database, rl_view text, hs_scratch_t *scratch) {
  bool found = false;
  hs_scan(database, text.size != 0 ? text.data : "", text.size, 0, scratch, on_match, &found);
  return found;
}

}  // namespace rl
