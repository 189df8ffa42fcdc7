// rl_json_args: depth and names stay within their limits, leaves lie in the text or the buffer, and reading ends.
#include "bytes/json_args.h"

#include <vector>

#include "fuzz.h"

using fuzz::Block;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const uint32_t depth = 1 + input.below(64);
  const uint64_t names = uint64_t{input.byte()} * 16;
  const Block text = input.rest();
  Block buffer(rl_json_args_room(static_cast<uint32_t>(text.size), depth));
  std::vector<rl_json_level> levels(depth);
  rl_json_args reader;
  rl_json_args_start(&reader, text.view(), buffer.data.get(), levels.data(), depth, names);
  rl_pair leaf;
  uint64_t named = 0;
  int status;
  for (size_t count = 0; (status = rl_json_args_next(&reader, &leaf)) == RL_JSON_ARGS_LEAF; ++count) {
    MUST(count <= text.size);
    MUST(buffer.holds(leaf.name));
    MUST(buffer.holds(leaf.value) || text.holds(leaf.value));
    named += leaf.name.size;
    MUST(named <= names);
  }
  MUST(status <= RL_JSON_ARGS_END && status >= RL_JSON_ARGS_WORDY);
  MUST(reader.at <= text.size);
  MUST(rl_json_args_next(&reader, &leaf) == status);
  return 0;
}
