// A read-only map from networks to the ids filed under them: one hash table, and the prefix lengths in use from the
// longest to the shortest. A look-up costs a probe for each length, however many networks there are.
#pragma once
#include <utility>
#include <vector>

#include "bytes/address.h"
#include "match/strmap.h"

namespace rl {

struct NetworkSlot {
  rl_network network;
  uint32_t ids;
  uint32_t count;  // 0: an empty slot
};

struct NetworkMap {
  std::vector<std::pair<rl_network, uint32_t>> building;
  std::vector<NetworkSlot> slots;
  std::vector<uint32_t> ids;
  std::vector<uint8_t> prefixes;  // longest first
};

void networks_add(NetworkMap *map, const rl_network *network, uint32_t id);
void networks_finish(NetworkMap *map);
Ids networks_exact(const NetworkMap &map, const rl_network &network);

// Calls visit(Ids) for every network that contains address, longest first, until it returns false.
template <typename Visit>
void networks_walk(const NetworkMap &map, const rl_address &address, Visit visit) {
  rl_network network = {address, 128};
  for (const uint8_t prefix : map.prefixes) {
    network.prefix = prefix;
    rl_address_mask(&network.address, prefix);  // from long to short: what is cut stays cut
    const Ids ids = networks_exact(map, network);
    if (!ids.empty() && !visit(ids)) return;
  }
}

}  // namespace rl
