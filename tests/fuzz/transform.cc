// rl_transform: a kind and a text. Its room is enough, "nothing changed" is true, and what the byte classes rule out
// does not happen.
#include "bytes/transform.h"

#include "fuzz.h"

using fuzz::Block;

namespace {

struct Result {
  bool changed;
  Block text;
};

Result transformed(int kind, rl_view in, uint32_t classes) {
  Block out(rl_transform_room(kind, in.size));
  uint32_t size = 0;
  const bool changed = rl_transform(kind, in, classes, out.data.get(), &size);
  if (!changed) return {false, Block(in.data, in.size)};
  MUST(size <= out.size);
  return {true, Block(out.data.get(), size)};
}

// Kinds of which a second time changes nothing, by plan.Transformation. (ModSecurity counts the parity bit as a bit.)
bool settles(int kind) {
  constexpr int kKinds[] = {0, 4, 5, 6, 15, 27, 29, 31, 32, 34};
  for (int known : kKinds) {
    if (kind == known) return true;
  }
  return false;
}

uint32_t classes_by_byte(rl_view text) {
  uint32_t classes = rl_byte_classes({});
  for (uint32_t i = 0; i < text.size; ++i) classes |= rl_byte_classes({text.data + i, 1});
  return classes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const int kind = static_cast<int>(input.below(RL_TRANSFORMATIONS));
  const Block text = input.rest();
  const uint32_t classes = rl_byte_classes(text.view());
  MUST(classes == classes_by_byte(text.view()));
  const Result result = transformed(kind, text.view(), classes);
  MUST(result.changed == !fuzz::same(result.text.view(), text.view()));
  const Result ungated = transformed(kind, text.view(), ~0u);
  MUST(fuzz::same(result.text.view(), ungated.text.view()));
  if (settles(kind)) {
    MUST(!transformed(kind, result.text.view(), rl_byte_classes(result.text.view())).changed);
  }
  return 0;
}
