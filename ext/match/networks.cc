#include "match/networks.h"

#include <algorithm>
#include <cstring>

#include "match/text.h"

namespace rl {
namespace {

uint64_t hash_of(const rl_network &network) {
  const auto *bytes = reinterpret_cast<const char *>(network.address.bytes);
  return mix_words(load_8(bytes) ^ 0xa0761d6478bd642fu, load_8(bytes + 8) ^ 0xe7037ed1a0b428dbu ^ network.prefix);
}

int compare(const rl_network &a, const rl_network &b) {
  if (a.prefix != b.prefix) return a.prefix < b.prefix ? -1 : 1;
  return memcmp(a.address.bytes, b.address.bytes, sizeof a.address.bytes);
}

// Where the network is, or the empty slot where it would be.
size_t probe(const std::vector<NetworkSlot> &slots, const rl_network &network) {
  const size_t mask = slots.size() - 1;
  size_t at = hash_of(network) & mask;
  while (slots[at].count != 0 && compare(slots[at].network, network) != 0) at = (at + 1) & mask;
  return at;
}

}  // namespace

void networks_add(NetworkMap *map, const rl_network *network, uint32_t id) {
  rl_network masked = *network;
  rl_address_mask(&masked.address, masked.prefix);
  map->building.emplace_back(masked, id);
}

void networks_finish(NetworkMap *map) {
  if (map->building.empty()) return;
  std::stable_sort(map->building.begin(), map->building.end(),
                   [](const auto &a, const auto &b) { return compare(a.first, b.first) < 0; });
  size_t size = 4;
  while (size < 2 * map->building.size()) size *= 2;
  map->slots.assign(size, {});
  for (const auto &[network, id] : map->building) {
    NetworkSlot &slot = map->slots[probe(map->slots, network)];
    if (slot.count == 0) slot = {network, static_cast<uint32_t>(map->ids.size()), 0};
    slot.count++;
    map->ids.push_back(id);
    if (map->prefixes.empty() || map->prefixes.back() != network.prefix) map->prefixes.push_back(network.prefix);
  }
  std::reverse(map->prefixes.begin(), map->prefixes.end());
  map->building = {};
}

Ids networks_exact(const NetworkMap &map, const rl_network &network) {
  const NetworkSlot &slot = map.slots[probe(map.slots, network)];
  return {map.ids.data() + slot.ids, slot.count};
}

}  // namespace rl
