// Regular expressions over whole values, on Hyperscan/Vectorscan.
#pragma once
#include <hs.h>

#include <memory>
#include <string>
#include <vector>

#include "core/view.h"

namespace rl {

// Whoever compiles the same patterns while a database of theirs is held gets that one: an edit of a policy compiles
// only the regexes that it changes.
using Regex = std::shared_ptr<hs_database_t>;

// Does each pattern stand on its own? False with the reason in error.
bool regex_check(const std::vector<std::string> &patterns, std::string *error);
// One database for all patterns, which were checked: does any of them match the whole value? `.` matches any byte.
// nullptr with the reason in error.
Regex regex_compile(const std::vector<std::string> &patterns, std::string *error);
bool regex_match(const hs_database_t *database, rl_view text, hs_scratch_t *scratch);
// The same without a database at hand; compiles, so for tests only.
bool regex_match_once(const std::vector<std::string> &patterns, rl_view text);

// Patterns that are scanned together, and whose they are.
struct RegexSet {
  Regex database;
  std::vector<uint32_t> ids;  // by pattern
};

// Compiles patterns, which were checked, into as few sets as are worth it. ids: by pattern. False with the reason in
// error.
bool regex_sets_compile(const std::vector<std::string> &patterns, const std::vector<uint32_t> &ids,
                        std::vector<RegexSet> *out, std::string *error);
// Writes the ids whose patterns match the whole value, each pattern once, to room[set.ids.size()]. Returns how many.
uint32_t regex_set_match(const RegexSet &set, rl_view text, hs_scratch_t *scratch, uint32_t *room);

}  // namespace rl
