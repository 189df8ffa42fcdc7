#include "match/regex.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

#include "scan/vector.h"

namespace rl {
namespace {

constexpr unsigned kFlags = HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;
// Of 10,000 patterns: in sets of 256 a scan of all takes 3 us and compiling them 18 s, of 1,024 1 us and 34 s. A
// thousand take 0.5 us either way, but 5 s or 23 s.
constexpr size_t kSetPatterns = 256;

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

struct Hits {
  const uint32_t *ids;
  uint32_t *room;
  uint32_t count;
};

int on_hit(unsigned pattern, unsigned long long, unsigned long long, unsigned, void *context) {
  auto *hits = static_cast<Hits *>(context);
  hits->room[hits->count++] = hits->ids[pattern];
  return 0;
}

const char *start_of(rl_view text) { return text.size != 0 ? text.data : ""; }

// The databases that are held, by their expressions.
class Held {
 public:
  Regex find(const std::string &expressions) {
    const std::lock_guard<std::mutex> guard(lock_);
    const auto at = databases_.find(expressions);
    return at != databases_.end() ? at->second.lock() : nullptr;
  }

  void put(std::string expressions, const Regex &database) {
    const std::lock_guard<std::mutex> guard(lock_);
    std::erase_if(databases_, [](const auto &entry) { return entry.second.expired(); });
    databases_[std::move(expressions)] = database;
  }

 private:
  std::mutex lock_;
  std::map<std::string, std::weak_ptr<hs_database_t>> databases_;
};

Held &held() {
  static Held all;
  return all;
}

// Patterns [first, last); a hit carries its pattern's number from first on. *together: not one of them failed, all did.
Regex compile(const std::vector<std::string> &patterns, size_t first, size_t last, bool *together, std::string *error) {
  std::vector<std::string> anchored;
  for (size_t i = first; i < last; i++) anchored.push_back("\\A(?:" + patterns[i] + ")\\z");
  std::string all;  // no pattern has a zero byte
  for (const std::string &pattern : anchored) all.append(pattern).push_back('\0');
  if (Regex known = held().find(all)) return known;
  std::vector<const char *> expressions;
  std::vector<unsigned> numbers;
  for (const std::string &pattern : anchored) {
    numbers.push_back(static_cast<unsigned>(expressions.size()));
    expressions.push_back(pattern.c_str());
  }
  const std::vector<unsigned> flags(expressions.size(), kFlags);
  hs_platform_info_t platform;
  if (rl_hs_platform(&platform) != HS_SUCCESS) {
    *error = "this CPU cannot run the pattern library (SSE4.2 is needed)";
    return nullptr;
  }
  hs_database_t *database = nullptr;
  hs_compile_error_t *failure = nullptr;
  const auto count = static_cast<unsigned>(expressions.size());
  if (hs_compile_multi(expressions.data(), flags.data(), numbers.data(), count, HS_MODE_BLOCK, &platform, &database,
                       &failure) != HS_SUCCESS) {
    const bool known = failure != nullptr && failure->expression >= 0 && failure->expression < static_cast<int>(count);
    const std::string &pattern = patterns[first + (known ? static_cast<size_t>(failure->expression) : 0)];
    *together = !known && count > 1;
    *error = "regex '" + pattern + "': " + take_message(failure);
    return nullptr;
  }
  Regex fresh(database, hs_free_database);
  held().put(std::move(all), fresh);
  return fresh;
}

// What is too much together may do in halves.
bool compile_sets(const std::vector<std::string> &patterns, const std::vector<uint32_t> &ids, size_t first, size_t last,
                  std::vector<RegexSet> *out, std::string *error) {
  bool together = false;
  Regex database = compile(patterns, first, last, &together, error);
  if (database != nullptr) {
    out->push_back(
        {std::move(database), {ids.begin() + static_cast<long>(first), ids.begin() + static_cast<long>(last)}});
    return true;
  }
  if (!together) return false;
  const size_t middle = first + (last - first) / 2;
  return compile_sets(patterns, ids, first, middle, out, error) &&
         compile_sets(patterns, ids, middle, last, out, error);
}

}  // namespace

bool regex_check(const std::vector<std::string> &patterns, std::string *error) {
  for (const std::string &pattern : patterns) {
    if (pattern.find('\0') != std::string::npos) {
      *error = "regex '" + std::string(pattern.c_str()) + "': a zero byte is written \\x00";
      return false;
    }
    if (!check_alone(pattern, error)) return false;
  }
  return true;
}

Regex regex_compile(const std::vector<std::string> &patterns, std::string *error) {
  bool together = false;
  return compile(patterns, 0, patterns.size(), &together, error);
}

bool regex_match(const hs_database_t *database, rl_view text, hs_scratch_t *scratch) {
  bool found = false;
  rl_hs_scan(database, start_of(text), text.size, 0, scratch, on_match, &found);
  return found;
}

bool regex_match_once(const std::vector<std::string> &patterns, rl_view text) {
  std::string error;
  hs_scratch_t *scratch = nullptr;
  const Regex database = regex_compile(patterns, &error);
  const bool ready = database != nullptr && hs_alloc_scratch(database.get(), &scratch) == HS_SUCCESS;
  const bool found = ready && regex_match(database.get(), text, scratch);
  hs_free_scratch(scratch);
  return found;
}

bool regex_sets_compile(const std::vector<std::string> &patterns, const std::vector<uint32_t> &ids,
                        std::vector<RegexSet> *out, std::string *error) {
  for (size_t first = 0; first < patterns.size(); first += kSetPatterns) {
    if (!compile_sets(patterns, ids, first, std::min(first + kSetPatterns, patterns.size()), out, error)) return false;
  }
  return true;
}

uint32_t regex_set_match(const RegexSet &set, rl_view text, hs_scratch_t *scratch, uint32_t *room) {
  Hits hits = {set.ids.data(), room, 0};
  rl_hs_scan(set.database.get(), start_of(text), text.size, 0, scratch, on_hit, &hits);
  return hits.count;
}

}  // namespace rl
