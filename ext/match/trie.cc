#include "match/trie.h"

#include <algorithm>

namespace rl {
namespace {

using Entry = std::pair<const std::string, std::vector<uint32_t>>;

// The sorted keys [begin, end) share their first depth bytes, which lead to node.
struct Job {
  uint32_t node;
  size_t begin, end, depth;
};

size_t shared_size(const std::string &a, const std::string &b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

// Files the ids of the key that ends here and adds the children, one for each next byte.
void expand(Trie *trie, const std::vector<const Entry *> &keys, Job job, std::vector<Job> *jobs) {
  if (keys[job.begin]->first.size() == job.depth) {
    const std::vector<uint32_t> &ids = keys[job.begin++]->second;
    trie->nodes[job.node].ids = static_cast<uint32_t>(trie->ids.size());
    trie->nodes[job.node].id_count = static_cast<uint32_t>(ids.size());
    trie->ids.insert(trie->ids.end(), ids.begin(), ids.end());
  }
  trie->nodes[job.node].child = static_cast<uint32_t>(trie->nodes.size());
  for (size_t begin = job.begin; begin < job.end;) {
    const std::string &key = keys[begin]->first;
    size_t end = begin + 1;
    while (end < job.end && keys[end]->first[job.depth] == key[job.depth]) end++;
    const size_t depth = shared_size(key, keys[end - 1]->first);
    jobs->push_back({static_cast<uint32_t>(trie->nodes.size()), begin, end, depth});
    const auto label = static_cast<uint32_t>(trie->text.size());
    trie->nodes.push_back({label, static_cast<uint32_t>(depth - job.depth), 0, 0, 0, 0});
    trie->text.append(key, job.depth, depth - job.depth);
    trie->first.push_back(key[job.depth]);
    trie->nodes[job.node].children++;
    begin = end;
  }
}

}  // namespace

void trie_add(Trie *trie, rl_view prefix, uint32_t id) {
  std::string key = trie->folded ? folded(prefix) : std::string(text_of(prefix));
  if (trie->backward) std::reverse(key.begin(), key.end());
  trie->building[key].push_back(id);
}

void trie_finish(Trie *trie) {
  if (trie->building.empty()) return;
  std::vector<const Entry *> keys;
  for (const Entry &entry : trie->building) keys.push_back(&entry);
  trie->nodes.push_back({});
  trie->first.push_back('\0');
  std::vector<Job> jobs = {{0, 0, keys.size(), 0}};
  for (size_t i = 0; i < jobs.size(); i++) expand(trie, keys, jobs[i], &jobs);  // breadth first: siblings stay together
  trie->building.clear();
}

}  // namespace rl
