// rl_pcre: a pattern and a text. Matches lie in the text, @rxGlobal comes to its end, and work is bounded.
#include "bytes/pcre.h"

#include "bytes/operators.h"
#include "fuzz.h"

using fuzz::Block;

namespace {

void see(const rl_span *spans, int count, uint32_t size) {
  MUST(count <= RL_PCRE_GROUPS);
  for (int i = 0; i < count; ++i) {
    // A group that took no part; \K in a look-behind may even put the end before the beginning.
    if (spans[i].begin > spans[i].end) continue;
    MUST(spans[i].end <= size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rl_pcre_scratch *scratch = rl_pcre_scratch_new(2000);
  fuzz::Input input(data, size);
  const int flags = static_cast<int>(input.below(2));
  const Block pattern = input.piece(), text = input.rest();
  if (pattern.size > 200) return 0;
  char error[32];
  uint32_t at = 0;
  rl_pcre *made = rl_pcre_compile(pattern.view(), flags, error, sizeof error, &at);
  if (!made) {
    MUST(at <= pattern.size);
    MUST(std::memchr(error, 0, sizeof error));
    return 0;
  }
  const auto length = static_cast<uint32_t>(text.size);
  rl_span spans[RL_PCRE_GROUPS];
  see(spans, rl_pcre_match(made, scratch, text.view(), 0, spans), length);
  see(spans, rl_pcre_match(made, scratch, text.view(), length, spans), length);
  uint32_t cursor = 0;
  for (uint32_t count = 0;; ++count) {
    MUST(count <= length + 1);
    const int groups = rl_pcre_next(made, scratch, text.view(), &cursor, spans);
    if (groups <= 0) break;
    see(spans, groups, length);
  }
  rl_span found;
  if (rl_pcre_verify(made, scratch, text.view(), rl_is_card, &found) == 1) MUST(found.end <= length);
  rl_pcre_free(made);
  return 0;
}
