// A read-only radix trie over prefixes: one walk along a text meets the ids filed under every prefix of it. Nodes lie
// in one array, siblings side by side in the order of their first bytes. Filed and walked backwards it is a trie over
// suffixes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "match/strmap.h"
#include "match/text.h"

namespace rl {

struct TrieNode {
  uint32_t label;  // into text; its first byte is repeated in Trie::first
  uint32_t label_size;
  uint32_t child;  // the first of its children
  uint32_t children;
  uint32_t ids;
  uint32_t id_count;
};

struct Trie {
  std::map<std::string, std::vector<uint32_t>> building;
  std::vector<TrieNode> nodes;  // nodes[0] is the root, its label empty
  std::string first;            // the first byte of every node's label
  std::string text;
  std::vector<uint32_t> ids;
  bool folded = false;    // set before the first add
  bool backward = false;  // set before the first add
};

void trie_add(Trie *trie, rl_view prefix, uint32_t id);
void trie_finish(Trie *trie);
inline bool trie_empty(const Trie &trie) { return trie.nodes.empty(); }

inline char trie_byte(const Trie &trie, rl_view text, uint32_t at) {
  const char byte = text.data[trie.backward ? text.size - 1 - at : at];
  return trie.folded ? to_lower(byte) : byte;
}

// Calls visit(Ids) for every prefix of text that has ids, shortest first. At most size steps.
template <typename Visit>
void trie_walk(const Trie &trie, rl_view text, Visit visit) {
  if (trie.nodes.empty()) return;
  const TrieNode *node = trie.nodes.data();
  for (uint32_t at = 0;;) {
    if (node->id_count != 0) visit(Ids{trie.ids.data() + node->ids, node->id_count});
    if (node->children == 0 || at == text.size) return;
    const void *found = memchr(trie.first.data() + node->child, trie_byte(trie, text, at), node->children);
    if (found == nullptr) return;
    node = &trie.nodes[static_cast<size_t>(static_cast<const char *>(found) - trie.first.data())];
    if (text.size - at < node->label_size) return;
    const char *label = trie.text.data() + node->label;
    if (!trie.folded && !trie.backward) {
      if (memcmp(text.data + at, label, node->label_size) != 0) return;
      at += node->label_size;
      continue;
    }
    for (uint32_t i = 0; i < node->label_size; i++) {
      if (trie_byte(trie, text, at++) != label[i]) return;
    }
  }
}

}  // namespace rl
