// Regular expressions over whole values, on Hyperscan/Vectorscan.
#pragma once
#include <hs.h>

#include <memory>
#include <string>
#include <vector>

#include "core/view.h"

namespace rl {

struct RegexDeleter {
  void operator()(hs_database_t *database) const { hs_free_database(database); }
};
using Regex = std::unique_ptr<hs_database_t, RegexDeleter>;

// One database for all patterns: does any of them match the whole value? `.` matches any byte. nullptr with the reason
// in error.
Regex regex_compile(const std::vector<std::string> &patterns, std::string *error);
bool regex_match(const hs_database_t *database, rl_view text, hs_scratch_t *scratch);

}  // namespace rl
