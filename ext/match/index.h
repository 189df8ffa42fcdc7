// Which alternatives can hold at all? Each is filed under one of its conditions, its anchor: the one that the fewest
// requests meet. An alternative that can hold is then always found by looking up the request's values, and the others
// cost nothing.
#pragma once
#include <string>
#include <vector>

#include "match/attributes.h"
#include "match/networks.h"
#include "match/regex.h"
#include "match/strmap.h"
#include "match/trie.h"

namespace rl {

// Which parts of a slot hold anything: a run asks only those. Shifted by one for the part without regard to case.
enum : uint16_t {
  kInExact = 1,
  kInPrefixes = 4,
  kInSuffixes = 16,
  kInPresent = 64,
  kInNetworks = 128,
  kInRegexes = 256,
};

// What is filed under one value of a request; [1] of each pair is without regard to case.
struct IndexSlot {
  int source;
  uint16_t parts = 0;
  std::string name;
  StrMap exact[2];
  Trie prefixes[2];
  Trie suffixes[2];
  NetworkMap networks;            // of the client's address
  std::vector<uint32_t> present;  // whatever the value is
  std::vector<RegexSet> regexes;
  uint32_t regex_count = 0;           // conditions with a regex, anchors or not
  std::vector<std::string> patterns;  // of the anchors, until they are compiled
  std::vector<uint32_t> pattern_ids;
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
// it. Wants every slot's regex_count to be known.
void index_add(Index *index, uint32_t id, Alternative *alternative, Condition *conditions);
// False with the reason in error.
bool index_finish(Index *index, std::string *error);

}  // namespace rl
