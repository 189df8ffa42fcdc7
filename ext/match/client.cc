#include "match/client.h"

#include <algorithm>
#include <cstring>

#include "match/text.h"

namespace rl {
namespace {

constexpr uint32_t kMaxEntries = 64;
constexpr rl_view kForwardedFor = {"x-forwarded-for", 15};

struct Walk {
  const rl_client_rule *rule;
  rl_address address;  // the last believed one
  bool known;
  uint32_t steps;   // left to make
  uint32_t budget;  // entries left to look at
};

bool trusted(const rl_client_rule *rule, const rl_address *address) {
  for (uint32_t i = 0; i < rule->trusted_count; i++) {
    if (rl_network_contains(&rule->trusted[i], address)) return true;
  }
  return false;
}

bool blank(rl_view text) {
  for (uint32_t i = 0; i < text.size; i++) {
    if (text.data[i] != ' ' && text.data[i] != '\t') return false;
  }
  return true;
}

// One entry to the left. False: the walk ends here.
bool step(Walk *walk, rl_view entry) {
  if (walk->budget == 0) return false;
  walk->budget--;
  if (blank(entry)) return true;
  if (walk->steps == 0) return false;
  if (walk->rule->hops == 0 && !(walk->known && trusted(walk->rule, &walk->address))) return false;
  rl_address address;
  if (!rl_address_parse(entry, &address)) return false;
  walk->address = address;
  walk->known = true;
  walk->steps--;
  return true;
}

// The comma-separated entries of one header line, from the right.
bool walk_line(Walk *walk, rl_view line) {
  for (uint32_t end = line.size;;) {
    const void *comma = end != 0 ? memrchr(line.data, ',', end) : nullptr;
    const uint32_t begin =
        comma != nullptr ? static_cast<uint32_t>(static_cast<const char *>(comma) - line.data) + 1 : 0;
    if (!step(walk, {line.data + begin, end - begin})) return false;
    if (begin == 0) return true;
    end = begin - 1;
  }
}

}  // namespace

int client_address(const rl_request *request, const rl_client_rule *rule, rl_address *out) {
  Walk walk = {rule, {}, false, kMaxEntries, kMaxEntries};
  walk.known = rl_address_parse(request->source_address, &walk.address) != 0;
  if (!same(rule->header, kForwardedFor)) {
    walk.steps = 1;
  } else if (rule->hops > 0) {
    walk.steps = std::min(rule->hops, kMaxEntries);
  }
  if (rule->hops > 0 || rule->trusted_count > 0) {
    for (uint32_t i = request->header_count; i-- > 0;) {
      if (same(request->headers[i].name, rule->header) && !walk_line(&walk, request->headers[i].value)) break;
    }
  }
  if (walk.known) *out = walk.address;
  return walk.known;
}

}  // namespace rl
