// Which override applies to a key: the exact text, then globs in order, then the longest network of the client.
#include <new>

#include "match/glob.h"
#include "match/matcher.h"
#include "match/networks.h"
#include "match/strmap.h"
#include "match/text.h"
#include "match/trie.h"

struct rl_overrides {
  rl::StrMap exact;
  rl::Trie prefixes;  // of globs, by index
  std::vector<rl::Glob> globs;
  std::vector<uint32_t> glob_ids;
  rl::NetworkMap networks;
};

namespace {

// The first glob that matches: of those whose literal prefix the text has, no other can.
int64_t find_glob(const rl_overrides *overrides, rl_view text) {
  uint32_t best = UINT32_MAX;
  rl::trie_walk(overrides->prefixes, text, [&](rl::Ids candidates) {
    for (const uint32_t index : candidates) {
      if (index >= best) break;  // filed in order
      if (rl::glob_match(overrides->globs[index], text, nullptr)) best = index;
    }
  });
  return best == UINT32_MAX ? -1 : int64_t{overrides->glob_ids[best]};
}

int64_t find_network(const rl_overrides *overrides, const rl_address &client) {
  int64_t found = -1;
  rl::networks_walk(overrides->networks, client, [&](rl::Ids ids) {
    found = ids.front();
    return false;
  });
  return found;
}

template <typename Change>
int guarded(Change change) {
  try {
    return change();
  } catch (const std::bad_alloc &) {
    return -1;
  }
}

}  // namespace

rl_overrides *rl_overrides_new(void) { return new (std::nothrow) rl_overrides(); }

void rl_overrides_free(rl_overrides *overrides) { delete overrides; }

int rl_overrides_add_exact(rl_overrides *overrides, rl_view text, uint32_t id) {
  return guarded([&] {
    rl::strmap_add(&overrides->exact, text, id);
    return 0;
  });
}

int rl_overrides_add_glob(rl_overrides *overrides, rl_view text, uint32_t id) {
  return guarded([&] {
    rl::Glob glob;
    if (rl::glob_compile(text, false, false, &glob) != nullptr) return -1;
    rl::trie_add(&overrides->prefixes, rl::view_of(rl::glob_prefix(glob)),
                 static_cast<uint32_t>(overrides->globs.size()));
    overrides->globs.push_back(std::move(glob));
    overrides->glob_ids.push_back(id);
    return 0;
  });
}

int rl_overrides_add_network(rl_overrides *overrides, const rl_network *network, uint32_t id) {
  return guarded([&] {
    rl::networks_add(&overrides->networks, network, id);
    return 0;
  });
}

int rl_overrides_finish(rl_overrides *overrides) {
  return guarded([&] {
    rl::strmap_finish(&overrides->exact);
    rl::trie_finish(&overrides->prefixes);
    rl::networks_finish(&overrides->networks);
    return 0;
  });
}

int64_t rl_overrides_find(const rl_overrides *overrides, rl_view text, const rl_address *client) {
  const rl::Ids exact = rl::strmap_find(overrides->exact, text);
  if (!exact.empty()) return exact.front();
  const int64_t glob = find_glob(overrides, text);
  if (glob >= 0) return glob;
  return client != nullptr ? find_network(overrides, *client) : -1;
}
