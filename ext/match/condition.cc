#include "match/condition.h"

#include <algorithm>
#include <cstring>

#include "match/text.h"

namespace rl {
namespace {

constexpr size_t kFew = 8;  // so many operands are faster walked than looked up

void fill_many(Condition *out) {
  if (out->operands.size() <= kFew) return;
  out->many = std::make_unique<OperandSet>();
  out->many->exact.folded = out->many->affixes.folded = out->folded;
  out->many->affixes.backward = out->op == RL_OP_SUFFIX;
  for (const std::string &operand : out->operands) {
    if (out->op == RL_OP_EXACT) {
      strmap_add(&out->many->exact, view_of(operand), 0);
    } else {
      trie_add(&out->many->affixes, view_of(operand), 0);
    }
  }
  strmap_finish(&out->many->exact);
  trie_finish(&out->many->affixes);
}

bool compile_globs(Condition *out, std::string *error) {
  for (const std::string &operand : out->operands) {
    Glob glob;
    const char *wrong = glob_compile(view_of(operand), condition_on_path(*out), out->folded, &glob);
    if (wrong != nullptr) {
      *error = "glob '" + operand + "': " + wrong;
      return false;
    }
    out->globs.push_back(std::move(glob));
  }
  return true;
}

bool holds_many(const Condition &condition, rl_view text) {
  if (condition.op == RL_OP_EXACT) return !strmap_find(condition.many->exact, text).empty();
  bool found = false;
  trie_walk(condition.many->affixes, text, [&](Ids) { found = true; });
  return found;
}

bool holds_one(const Condition &condition, const std::string &operand, rl_view text) {
  if (condition.op == RL_OP_EXACT) {
    return text.size == operand.size() && same(text.data, operand.data(), text.size, condition.folded);
  }
  if (text.size < operand.size()) return false;
  const char *from = condition.op == RL_OP_SUFFIX ? text.data + (text.size - operand.size()) : text.data;
  return same(from, operand.data(), operand.size(), condition.folded);
}

bool holds_text(const Condition &condition, rl_view text) {
  if (condition.many != nullptr) return holds_many(condition, text);
  return std::any_of(condition.operands.begin(), condition.operands.end(),
                     [&](const std::string &operand) { return holds_one(condition, operand, text); });
}

bool holds_network(const Condition &condition, const Value &value, rl_attributes *attributes) {
  rl_address address;
  const bool known = condition.source == RL_SOURCE_CLIENT_IP ? rl_attributes_client(attributes, &address) != 0
                                                             : rl_address_parse(value.text, &address) != 0;
  bool found = false;
  if (known) {
    networks_walk(condition.networks, address, [&](Ids) {
      found = true;
      return false;
    });
  }
  return found;
}

bool holds(const Condition &condition, const Value &value, rl_attributes *attributes, hs_scratch_t *scratch) {
  if (!value.present && condition_reads_text(condition)) return false;
  switch (condition.op) {
    case RL_OP_PRESENT:
      return true;
    case RL_OP_GLOB:
      return std::any_of(condition.globs.begin(), condition.globs.end(),
                         [&](const Glob &glob) { return glob_match(glob, value.text, nullptr); });
    case RL_OP_REGEX:
      if (condition.operands.empty()) return false;
      if (condition.regex == nullptr) return regex_match_once(condition.operands, value.text);
      return regex_match(condition.regex.get(), value.text, scratch);
    case RL_OP_CIDR:
      return holds_network(condition, value, attributes);
    default:
      return holds_text(condition, value.text);
  }
}

}  // namespace

bool condition_on_path(const Condition &condition) {
  return condition.source == RL_SOURCE_PATH || condition.source == RL_SOURCE_RAW_PATH;
}

bool condition_compile(const rl_condition &from, Condition *out, std::string *error) {
  out->source = from.source;
  out->op = from.op;
  out->negate = from.negate != 0;
  out->folded = from.ignore_case != 0 && from.op != RL_OP_REGEX;
  out->name = text_of(from.name);
  for (uint32_t i = 0; i < from.operand_count; i++) {
    out->operands.push_back(out->folded ? folded(from.operands[i]) : std::string(text_of(from.operands[i])));
  }
  for (uint32_t i = 0; i < from.network_count; i++) {
    networks_add(&out->networks, &from.networks[i], 0);
    out->network_list.push_back(from.networks[i]);
  }
  networks_finish(&out->networks);
  switch (from.op) {
    case RL_OP_PRESENT:
    case RL_OP_CIDR:
      return true;
    case RL_OP_EXACT:
    case RL_OP_PREFIX:
    case RL_OP_SUFFIX:
      fill_many(out);
      return true;
    case RL_OP_GLOB:
      return compile_globs(out, error);
    case RL_OP_REGEX:
      return regex_check(out->operands, error);
    default:
      *error = "unknown op " + std::to_string(from.op);
      return false;
  }
}

bool condition_holds(const Condition &condition, const Value &value, rl_attributes *attributes, hs_scratch_t *scratch) {
  return holds(condition, value, attributes, scratch) != condition.negate;
}

int condition_param(const Condition &condition, rl_attributes *attributes, rl_view name, rl_view *out) {
  if (condition.op != RL_OP_GLOB || condition.negate || !condition_on_path(condition)) return 0;
  for (const Glob &glob : condition.globs) {
    const auto found = std::find(glob.names.begin(), glob.names.end(), text_of(name));
    if (found == glob.names.end()) continue;
    const auto index = static_cast<size_t>(found - glob.names.begin());
    rl_view path;
    GlobCaptures captures;
    if (!rl_attributes_get(attributes, condition.source, {}, &path) || !glob_match(glob, path, &captures)) continue;
    *out = {path.data + captures.begin[index], captures.end[index] - captures.begin[index]};
    return 1;
  }
  return 0;
}

int condition_cost(const Condition &condition) {
  static constexpr int kByOp[] = {0, 1, 2, 2, 5, 30, 4};  // PRESENT, EXACT, PREFIX, SUFFIX, GLOB, REGEX, CIDR
  switch (condition.source) {
    case RL_SOURCE_METHOD:
    case RL_SOURCE_SCHEME:
      return kByOp[condition.op];
    case RL_SOURCE_COOKIE:
    case RL_SOURCE_QUERY:
      return kByOp[condition.op] + 10;
    default:
      return kByOp[condition.op] + 2;
  }
}

}  // namespace rl
