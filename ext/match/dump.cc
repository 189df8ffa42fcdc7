// Match expressions in words, for `ratelimitd explain`.
#include <algorithm>
#include <cstring>

#include "match/set.h"
#include "match/text.h"

namespace rl {
namespace {

constexpr const char *kSources[] = {"constant", "client.ip", "method", "host",  "path",       "raw_path",
                                    "scheme",   "header",    "cookie", "query", "path_param", "attribute"};
constexpr const char *kOps[] = {"is present", "=", "begins with", "ends with", "like", "matches", "in"};

std::string network_words(rl_network network) {
  rl_address_mask(&network.address, network.prefix);
  char text[46];
  const uint32_t size = rl_address_format(&network.address, text);
  const int prefix = rl_address_is_ipv4(&network.address) != 0 ? network.prefix - 96 : network.prefix;
  return std::string(text, size) + "/" + std::to_string(prefix);
}

std::string alternative_words(const rl_matcher *matcher, const Alternative &alternative) {
  if (alternative.count == 0) return "always";
  std::string words;
  for (uint32_t i = 0; i < alternative.count; i++) {
    if (i != 0) words += " and ";
    words += condition_words(matcher->conditions[alternative.first + i]);
  }
  return words;
}

}  // namespace

std::string condition_words(const Condition &condition) {
  std::string words = condition.negate ? "not " : "";
  const auto source = static_cast<size_t>(condition.source);
  words += source < std::size(kSources) ? kSources[source] : "?";
  if (!condition.name.empty()) words += " " + condition.name;
  words += std::string(" ") + kOps[condition.op];
  const char *between = " ";
  for (const std::string &operand : condition.operands) {
    words += between + operand;
    between = " | ";
  }
  for (const rl_network &network : condition.network_list) {
    words += between + network_words(network);
    between = " | ";
  }
  if (condition.folded) words += " (any case)";
  return words;
}

}  // namespace rl

size_t rl_matcher_dump(const rl_matcher *matcher, uint32_t entry, char *out, size_t size) {
  std::string words;
  const uint32_t begin = matcher->alternatives_begin(entry), end = matcher->alternatives_end(entry);
  if (begin == end) words = "never";
  for (uint32_t i = begin; i < end; i++) {
    if (i != begin) words += " or ";
    words += rl::alternative_words(matcher, matcher->alternatives[i]);
  }
  std::copy_n(words.data(), std::min(size, words.size()), out);
  return words.size();
}
