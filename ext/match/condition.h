// One condition, compiled: does it hold for a value?
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "match/glob.h"
#include "match/matcher.h"
#include "match/networks.h"
#include "match/regex.h"
#include "match/strmap.h"
#include "match/trie.h"

namespace rl {

// Many operands, found without walking them.
struct OperandSet {
  StrMap exact;
  Trie affixes;
};

struct Condition {
  int source = 0;
  int op = 0;
  bool negate = false;
  bool folded = false;
  uint32_t slot = 0;  // (source, name) among all that the matcher asks for
  std::string name;
  std::vector<std::string> operands;  // as given, or lower-case when folded
  std::unique_ptr<OperandSet> many;   // EXACT, PREFIX, SUFFIX: in place of operands when there are more than a few
  std::vector<Glob> globs;
  NetworkMap networks;
  std::vector<rl_network> network_list;  // for dumps and anchors
  Regex regex;  // none when it is an anchor in a set of the index: what the set says is not asked again
};

// What the request has for a condition's (source, name).
struct Value {
  bool present;
  rl_view text;
};

// False with the reason in error.
bool condition_compile(const rl_condition &from, Condition *out, std::string *error);
// An absent value: nothing holds but a negation.
bool condition_holds(const Condition &condition, const Value &value, rl_attributes *attributes, hs_scratch_t *scratch);
// What its path glob binds to {name}. 1 or 0.
int condition_param(const Condition &condition, rl_attributes *attributes, rl_view name, rl_view *out);
// Does it look at the value's text? CIDR on the client takes the address as it is.
inline bool condition_reads_text(const Condition &condition) {
  return condition.op != RL_OP_CIDR || condition.source != RL_SOURCE_CLIENT_IP;
}
// What a check of it costs, relative to others.
int condition_cost(const Condition &condition);
bool condition_on_path(const Condition &condition);
// "header x-plan = gold | silver", for people.
std::string condition_words(const Condition &condition);

}  // namespace rl
