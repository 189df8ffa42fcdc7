// A read-only map from bytes to the ids filed under them: open addressing in flat arrays, one probe for most look-ups.
#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/view.h"

namespace rl {

using Ids = std::span<const uint32_t>;

struct StrMapSlot {
  uint32_t tag = 0;  // upper half of the hash, never 0 when used
  uint32_t begin = 0;
  uint32_t size = 0;
  uint32_t ids = 0;
  uint32_t count = 0;
};

struct StrMap {
  std::map<std::string, std::vector<uint32_t>> building;
  std::vector<StrMapSlot> slots;
  std::string text;
  std::vector<uint32_t> ids;
  bool folded = false;  // set before the first add: keys are compared without regard to ASCII case
};

void strmap_add(StrMap *map, rl_view key, uint32_t id);
void strmap_finish(StrMap *map);
// In the order added; empty when there is none.
Ids strmap_find(const StrMap &map, rl_view key);
inline bool strmap_empty(const StrMap &map) { return map.slots.empty(); }

}  // namespace rl
