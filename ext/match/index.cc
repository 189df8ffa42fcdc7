#include "match/index.h"

#include <algorithm>
#include <limits>

#include "match/set.h"
#include "match/text.h"

namespace rl {
namespace {

constexpr uint32_t kFewRegexes = 8;

// How few requests meet an anchor; the scale is a judgement: an exact path beats a path's prefix, beats a host, beats a
// header's value.
enum : int {
  kNever = std::numeric_limits<int>::max(),  // no request meets it
  kExactPath = 1000,
  kPathAffix = 700,  // plus its length
  kExactHost = 600,
  kExactValue = 500,
  kAffix = 300,    // plus its length
  kNetwork = 100,  // plus its prefix
  kInRegexSet = 60,
  kExactMethod = 50,
  kPresent = 40,
  kAlmostAlways = 5,
  kNoAnchor = 0,
};

// Values that nearly every request has.
bool common(int source) {
  return source != RL_SOURCE_HEADER && source != RL_SOURCE_COOKIE && source != RL_SOURCE_QUERY &&
         source != RL_SOURCE_ATTRIBUTE;
}

int score_present(const Condition &c) { return common(c.source) ? kAlmostAlways : kPresent; }

int score_exact(const Condition &c) {
  switch (c.source) {
    case RL_SOURCE_PATH:
    case RL_SOURCE_RAW_PATH:
      return kExactPath;
    case RL_SOURCE_HOST:
      return kExactHost;
    case RL_SOURCE_METHOD:
    case RL_SOURCE_SCHEME:
      return kExactMethod;
    default:
      return kExactValue;
  }
}

int score_affix(const Condition &c, size_t size) {
  // Every path begins with a slash.
  if (size <= (condition_on_path(c) ? 1u : 0u)) return score_present(c);
  const int length = static_cast<int>(std::min<size_t>(size, 99));
  return (condition_on_path(c) ? kPathAffix : kAffix) + length;
}

int score_glob(const Condition &c, const Glob &glob) {
  if (glob_is_literal(glob)) return score_exact(c);
  return score_affix(c, std::max(glob_prefix(glob).size(), glob_suffix(glob).size()));
}

int score_networks(const Condition &c) {
  if (c.source != RL_SOURCE_CLIENT_IP) return score_present(c);
  int least = kNever;
  for (const rl_network &network : c.network_list) least = std::min(least, kNetwork + network.prefix);
  return least;
}

// A few regexes are best asked when all else holds. Of many, all are asked at once.
bool in_set(const Condition &c, const IndexSlot &slot) { return c.op == RL_OP_REGEX && slot.regex_count > kFewRegexes; }

// The worst of its operands counts: each of them is filed.
int score(const Condition &c, const IndexSlot &slot) {
  if (c.negate) return kNoAnchor;
  int least = kNever;
  switch (c.op) {
    case RL_OP_PRESENT:
      return score_present(c);
    case RL_OP_REGEX:
      if (c.operands.empty()) return kNever;
      return in_set(c, slot) ? static_cast<int>(kInRegexSet) : score_present(c);
    case RL_OP_CIDR:
      return score_networks(c);
    case RL_OP_EXACT:
      return c.operands.empty() ? kNever : score_exact(c);
    case RL_OP_GLOB:
      for (const Glob &glob : c.globs) least = std::min(least, score_glob(c, glob));
      return least;
    default:
      for (const std::string &operand : c.operands) least = std::min(least, score_affix(c, operand.size()));
      return least;
  }
}

void file_glob(IndexSlot *slot, const Condition &c, const Glob &glob, uint32_t id) {
  const std::string prefix = glob_prefix(glob), suffix = glob_suffix(glob);
  if (glob_is_literal(glob)) {
    strmap_add(&slot->exact[c.folded], view_of(prefix), id);
  } else if (prefix.size() >= suffix.size()) {
    trie_add(&slot->prefixes[c.folded], view_of(prefix), id);
  } else {
    trie_add(&slot->suffixes[c.folded], view_of(suffix), id);
  }
}

// Files id under the condition. Returns whether a hit implies that the condition holds.
bool file(IndexSlot *slot, const Condition &c, uint32_t id) {
  const bool by_address = c.op == RL_OP_CIDR && c.source == RL_SOURCE_CLIENT_IP;
  switch (c.op) {
    case RL_OP_EXACT:
      for (const std::string &operand : c.operands) strmap_add(&slot->exact[c.folded], view_of(operand), id);
      return true;
    case RL_OP_PREFIX:
      for (const std::string &operand : c.operands) trie_add(&slot->prefixes[c.folded], view_of(operand), id);
      return true;
    case RL_OP_SUFFIX:
      for (const std::string &operand : c.operands) trie_add(&slot->suffixes[c.folded], view_of(operand), id);
      return true;
    case RL_OP_GLOB:
      for (const Glob &glob : c.globs) file_glob(slot, c, glob, id);
      return false;
    case RL_OP_CIDR:
      for (const rl_network &network : c.network_list) {
        if (by_address) networks_add(&slot->networks, &network, id);
      }
      if (!by_address) slot->present.push_back(id);
      return by_address;
    case RL_OP_REGEX:
      if (!in_set(c, *slot)) {
        slot->present.push_back(id);
        return false;
      }
      slot->patterns.insert(slot->patterns.end(), c.operands.begin(), c.operands.end());
      slot->pattern_ids.resize(slot->patterns.size(), id);
      return true;
    default:
      slot->present.push_back(id);
      return c.op == RL_OP_PRESENT;
  }
}

void note_parts(IndexSlot *slot) {
  uint32_t parts = 0;
  for (int folded = 0; folded < 2; folded++) {
    if (!strmap_empty(slot->exact[folded])) parts |= kInExact << folded;
    if (!trie_empty(slot->prefixes[folded])) parts |= kInPrefixes << folded;
    if (!trie_empty(slot->suffixes[folded])) parts |= kInSuffixes << folded;
  }
  if (!slot->present.empty()) parts |= kInPresent;
  if (!slot->networks.slots.empty()) parts |= kInNetworks;
  if (!slot->regexes.empty()) parts |= kInRegexes;
  slot->parts = static_cast<uint16_t>(parts);
}

}  // namespace

uint32_t index_slot(Index *index, int source, rl_view name) {
  for (uint32_t i = 0; i < index->slots.size(); i++) {
    if (index->slots[i].source == source && index->slots[i].name == text_of(name)) return i;
  }
  IndexSlot &slot = index->slots.emplace_back();
  slot.source = source;
  slot.name = text_of(name);
  slot.exact[1].folded = slot.prefixes[1].folded = slot.suffixes[1].folded = true;
  slot.suffixes[0].backward = slot.suffixes[1].backward = true;
  return static_cast<uint32_t>(index->slots.size()) - 1;
}

void index_add(Index *index, uint32_t id, Alternative *alternative, Condition *conditions) {
  Condition *begin = conditions + alternative->first, *end = begin + alternative->count;
  std::stable_sort(begin, end,
                   [](const Condition &a, const Condition &b) { return condition_cost(a) < condition_cost(b); });
  const auto score_of = [&](const Condition &c) { return score(c, index->slots[c.slot]); };
  Condition *best =
      std::max_element(begin, end, [&](const Condition &a, const Condition &b) { return score_of(a) < score_of(b); });
  const int best_score = best == end ? static_cast<int>(kNoAnchor) : score_of(*best);
  if (best_score == kNever) return;
  if (best_score == kNoAnchor) {
    index->always.push_back(id);
    return;
  }
  alternative->implied = file(&index->slots[best->slot], *best, id) ? 1 : 0;
  if (alternative->implied != 0) std::rotate(begin, best, best + 1);
}

bool index_finish(Index *index, std::string *error) {
  for (IndexSlot &slot : index->slots) {
    if (!regex_sets_compile(slot.patterns, slot.pattern_ids, &slot.regexes, error)) return false;
    slot.patterns = {};
    slot.pattern_ids = {};
    for (int folded = 0; folded < 2; folded++) {
      strmap_finish(&slot.exact[folded]);
      trie_finish(&slot.prefixes[folded]);
      trie_finish(&slot.suffixes[folded]);
    }
    networks_finish(&slot.networks);
    note_parts(&slot);
  }
  return true;
}

}  // namespace rl
