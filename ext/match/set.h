// What a matcher is made of. Of interest to this room only.
#pragma once
#include <vector>

#include "match/condition.h"
#include "match/index.h"

namespace rl {

// A conjunction: conditions [first, first + count). When it is a candidate of the index, the first `implied` ones are
// known to hold.
struct Alternative {
  uint32_t entry;
  uint32_t first;
  uint32_t count;
  uint32_t implied;
};

}  // namespace rl

struct rl_matcher {
  std::vector<rl::Condition> conditions;
  std::vector<rl::Alternative> alternatives;
  std::vector<uint32_t> entries;  // the first alternative of each
  rl::Index index;
  bool finished = false;

  uint32_t alternatives_begin(uint32_t entry) const { return entries[entry]; }
  uint32_t alternatives_end(uint32_t entry) const {
    return entry + 1 < entries.size() ? entries[entry + 1] : static_cast<uint32_t>(alternatives.size());
  }
};

namespace rl {

// rl_matcher_run without the index: every alternative is verified. The ground that the index is tested on.
uint32_t run_all(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids,
                 uint32_t max);

}  // namespace rl
