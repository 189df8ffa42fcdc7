// Running a matcher: candidates from the index, verified one by one.
#include <algorithm>
#include <new>

#include "match/set.h"
#include "match/text.h"

// Marks and cached values are valid when they carry the run's number, so a run clears nothing.
struct rl_match_scratch {
  struct SlotValue {
    uint32_t run = 0;
    rl::Value value = {};
  };
  uint32_t run = 0;
  std::vector<uint32_t> marks;  // by entry
  std::vector<uint32_t> held;   // the entries that hold, in no order
  std::vector<SlotValue> values;
  std::vector<uint32_t> hits;  // of one regex set
  hs_scratch_t *regex = nullptr;
};

namespace rl {
namespace {

struct Run {
  const rl_matcher *matcher;
  rl_match_scratch *scratch;
  rl_attributes *attributes;
  uint32_t held = 0;
};

const Value &value_of(Run *run, uint32_t slot) {
  rl_match_scratch::SlotValue &cached = run->scratch->values[slot];
  if (cached.run != run->scratch->run) {
    const IndexSlot &from = run->matcher->index.slots[slot];
    cached.run = run->scratch->run;
    cached.value.present = rl_attributes_get(run->attributes, from.source, view_of(from.name), &cached.value.text) != 0;
  }
  return cached.value;
}

bool verify(Run *run, const Condition &condition) {
  static constexpr Value kUnread = {};
  const Value &value = condition_reads_text(condition) ? value_of(run, condition.slot) : kUnread;
  return condition_holds(condition, value, run->attributes, run->scratch->regex);
}

// From the condition `skip` on.
void consider(Run *run, const Alternative &alternative, uint32_t skip) {
  uint32_t *mark = &run->scratch->marks[alternative.entry];
  if (*mark == run->scratch->run) return;
  const Condition *conditions = run->matcher->conditions.data() + alternative.first;
  for (uint32_t i = skip; i < alternative.count; i++) {
    if (!verify(run, conditions[i])) return;
  }
  *mark = run->scratch->run;
  run->scratch->held[run->held++] = alternative.entry;
}

void consider_all(Run *run, Ids ids) {
  for (const uint32_t id : ids) {
    const Alternative &alternative = run->matcher->alternatives[id];
    consider(run, alternative, alternative.implied);
  }
}

void look_up_networks(Run *run, const IndexSlot &slot) {
  rl_address address;
  if (!rl_attributes_client(run->attributes, &address)) return;
  networks_walk(slot.networks, address, [&](Ids ids) {
    consider_all(run, ids);
    return true;
  });
}

void look_up_text(Run *run, const IndexSlot &slot, rl_view text) {
  const auto visit = [run](Ids ids) { consider_all(run, ids); };
  for (int folded = 0; folded < 2; folded++) {
    const uint32_t parts = slot.parts >> folded;
    if (parts & kInExact) visit(strmap_find(slot.exact[folded], text));
    if (parts & kInPrefixes) trie_walk(slot.prefixes[folded], text, visit);
    if (parts & kInSuffixes) trie_walk(slot.suffixes[folded], text, visit);
  }
  if (slot.parts & kInPresent) visit(slot.present);
}

// All hits first: the scratch is taken while a scan runs, and what else a candidate asks may be a regex too.
void look_up_regexes(Run *run, const IndexSlot &slot, rl_view text) {
  uint32_t *hits = run->scratch->hits.data();
  for (const RegexSet &set : slot.regexes) {
    const uint32_t count = regex_set_match(set, text, run->scratch->regex, hits);
    consider_all(run, Ids{hits, count});
  }
}

void look_up(Run *run, uint32_t number) {
  const IndexSlot &slot = run->matcher->index.slots[number];
  if (slot.parts & kInNetworks) look_up_networks(run, slot);
  if ((slot.parts & ~kInNetworks) == 0) return;
  const Value &value = value_of(run, number);
  if (!value.present) return;
  look_up_text(run, slot, value.text);
  if (slot.parts & kInRegexes) look_up_regexes(run, slot, value.text);
}

void begin(rl_match_scratch *scratch) {
  if (++scratch->run != 0) return;
  std::fill(scratch->marks.begin(), scratch->marks.end(), 0);
  for (auto &cached : scratch->values) cached.run = 0;
  scratch->run = 1;
}

uint32_t finish(Run *run, uint32_t *ids, uint32_t max) {
  uint32_t *held = run->scratch->held.data();
  if (run->held > 1) std::sort(held, held + run->held);
  std::copy(held, held + std::min(run->held, max), ids);
  return run->held;
}

}  // namespace

uint32_t run_all(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids,
                 uint32_t max) {
  Run run = {matcher, scratch, attributes};
  begin(scratch);
  for (const Alternative &alternative : matcher->alternatives) consider(&run, alternative, 0);
  return finish(&run, ids, max);
}

}  // namespace rl

rl_match_scratch *rl_match_scratch_new(void) { return new (std::nothrow) rl_match_scratch(); }

int rl_match_scratch_prepare(rl_match_scratch *scratch, const rl_matcher *matcher) {
  try {
    if (scratch->marks.size() < matcher->entries.size()) {
      scratch->marks.resize(matcher->entries.size());
      scratch->held.resize(matcher->entries.size());
    }
    for (const rl::IndexSlot &slot : matcher->index.slots) {
      for (const rl::RegexSet &set : slot.regexes) {
        if (scratch->hits.size() < set.ids.size()) scratch->hits.resize(set.ids.size());
      }
    }
    if (scratch->values.size() < matcher->index.slots.size()) scratch->values.resize(matcher->index.slots.size());
  } catch (const std::bad_alloc &) {
    return -1;
  }
  for (const rl::IndexSlot &slot : matcher->index.slots) {
    for (const rl::RegexSet &set : slot.regexes) {
      if (hs_alloc_scratch(set.database.get(), &scratch->regex) != HS_SUCCESS) return -1;
    }
  }
  for (const rl::Condition &condition : matcher->conditions) {
    if (condition.regex != nullptr && hs_alloc_scratch(condition.regex.get(), &scratch->regex) != HS_SUCCESS) return -1;
  }
  return 0;
}

void rl_match_scratch_free(rl_match_scratch *scratch) {
  if (scratch == nullptr) return;
  hs_free_scratch(scratch->regex);
  delete scratch;
}

uint32_t rl_matcher_run(const rl_matcher *matcher, rl_match_scratch *scratch, rl_attributes *attributes, uint32_t *ids,
                        uint32_t max) {
  rl::Run run = {matcher, scratch, attributes};
  rl::begin(scratch);
  rl::consider_all(&run, matcher->index.always);
  for (uint32_t i = 0; i < matcher->index.slots.size(); i++) rl::look_up(&run, i);
  return rl::finish(&run, ids, max);
}

int rl_matcher_param(const rl_matcher *matcher, uint32_t entry, rl_attributes *attributes, rl_view name, rl_view *out) {
  const uint32_t end = matcher->alternatives_end(entry);
  for (uint32_t i = matcher->alternatives_begin(entry); i < end; i++) {
    const rl::Alternative &alternative = matcher->alternatives[i];
    for (uint32_t j = alternative.first; j < alternative.first + alternative.count; j++) {
      if (rl::condition_param(matcher->conditions[j], attributes, name, out)) return 1;
    }
  }
  return 0;
}
