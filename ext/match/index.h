// Which alternatives can hold at all? Each is filed under one of its conditions, its anchor: the one that the fewest
// requests meet. An alternative that can hold is then always found by looking up the request's values, and the others
// cost nothing.
#pragma once
#include <string>
#include <vector>

#include "match/attributes.h"
#include "match/networks.h"
#include "match/strmap.h"
#include "match/trie.h"

namespace rl {

// What is filed under one value of a request; [1] of each pair is without regard to case.
struct IndexSlot {
  int source;
  std::string name;
  bool looked_up = false;  // is anything filed here that needs the value's text?
  StrMap exact[2];
  Trie prefixes[2];
  Trie suffixes[2];
  NetworkMap networks;            // of the client's address
  std::vector<uint32_t> present;  // whatever the value is
};

struct Index {
  std::vector<IndexSlot> slots;
  std::vector<uint32_t> always;  // no condition narrows them down
};

struct Alternative;
struct Condition;

// The slot of (source, name), added when new.
uint32_t index_slot(Index *index, int source, rl_view name);
// Files alternative id under the best of its conditions, moves that one to the front and notes whether a hit implies
// it.
void index_add(Index *index, uint32_t id, Alternative *alternative, Condition *conditions);
void index_finish(Index *index);

}  // namespace rl
