#include <cstring>

#include "bytes/ascii.h"
#include "bytes/operators.h"

namespace rl {
namespace {

bool same(const char *a, const char *b, uint32_t size) { return size == 0 || std::memcmp(a, b, size) == 0; }

// Where `part` begins in `whole` at or after `from`; whole.size + 1 when it does not.
uint32_t find(rl_view whole, rl_view part, uint32_t from) {
  if (from > whole.size) return whole.size + 1;
  if (part.size == 0) return from;
  const void *hit = memmem(whole.data + from, whole.size - from, part.data, part.size);
  return hit ? static_cast<uint32_t>(static_cast<const char *>(hit) - whole.data) : whole.size + 1;
}

}  // namespace
}  // namespace rl

int rl_op_begins_with(rl_view text, rl_view param) {
  return text.size >= param.size && rl::same(text.data, param.data, param.size);
}

int rl_op_ends_with(rl_view text, rl_view param) {
  return text.size >= param.size && rl::same(text.data + (text.size - param.size), param.data, param.size);
}

int rl_op_contains(rl_view text, rl_view param) { return rl::find(text, param, 0) <= text.size; }

int rl_op_streq(rl_view text, rl_view param) {
  return text.size == param.size && rl::same(text.data, param.data, param.size);
}

int rl_op_within(rl_view text, rl_view param) { return rl_op_contains(param, text); }

// A letter beside the word is the only thing that makes it part of another.
int rl_op_contains_word(rl_view text, rl_view param) {
  if (param.size == 0 || rl_op_streq(text, param)) return 1;
  for (uint32_t at = 0; (at = rl::find(text, param, at)) <= text.size; ++at) {
    uint32_t end = at + param.size;
    bool begins = at == 0 || !rl::is_alpha(text.data[at - 1]), ends = end == text.size || !rl::is_alpha(text.data[end]);
    if (begins && ends) return 1;
  }
  return 0;
}
