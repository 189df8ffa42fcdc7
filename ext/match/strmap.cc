#include "match/strmap.h"

#include "match/text.h"

namespace rl {
namespace {

uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) | 1; }

}  // namespace

void strmap_add(StrMap *map, rl_view key, uint32_t id) {
  map->building[map->folded ? folded(key) : std::string(text_of(key))].push_back(id);
}

void strmap_finish(StrMap *map) {
  if (map->building.empty()) return;
  size_t size = 4;
  while (size < 2 * map->building.size()) size *= 2;
  map->slots.assign(size, {});
  for (const auto &[key, ids] : map->building) {
    const uint64_t hash = hash_bytes(view_of(key), 0);
    size_t at = hash & (size - 1);
    while (map->slots[at].tag != 0) at = (at + 1) & (size - 1);
    map->slots[at] = {tag_of(hash), static_cast<uint32_t>(map->text.size()), static_cast<uint32_t>(key.size()),
                      static_cast<uint32_t>(map->ids.size()), static_cast<uint32_t>(ids.size())};
    map->text += key;
    map->ids.insert(map->ids.end(), ids.begin(), ids.end());
  }
  map->building.clear();
}

Ids strmap_find(const StrMap &map, rl_view key) {
  if (map.slots.empty()) return {};
  const uint64_t hash = hash_bytes(key, 0, map.folded);
  const size_t mask = map.slots.size() - 1;
  for (size_t at = hash & mask; map.slots[at].tag != 0; at = (at + 1) & mask) {
    const StrMapSlot &slot = map.slots[at];
    if (slot.tag != tag_of(hash) || slot.size != key.size) continue;
    if (same(key.data, map.text.data() + slot.begin, key.size, map.folded))
      return {map.ids.data() + slot.ids, slot.count};
  }
  return {};
}

}  // namespace rl
