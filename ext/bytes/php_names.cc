#include <cstring>

#include "bytes/transforms.h"

namespace rl {
namespace {

// Index behind the next "]" at or after `at`, 0 when there is none; a null byte ends the search, as in PHP.
uint32_t closing(rl_view in, uint32_t at) {
  for (; at < in.size && in.data[at] != '\0'; ++at) {
    if (in.data[at] == ']') return at + 1;
  }
  return 0;
}

// The subscripts "[a][b]" from `at`, as far as they follow each other; "[ ]" is "[]".
uint32_t copy_subscripts(rl_view in, uint32_t at, char *to) {
  uint32_t size = 0;
  while (at < in.size && in.data[at] == '[') {
    uint32_t end = closing(in, at);
    if (end == 0) break;
    if (end - at == 3 && in.data[at + 1] == ' ') {
      to[size++] = '[';
      at += 2;
    }
    std::memcpy(to + size, in.data + at, end - at);
    size += end - at;
    at = end;
  }
  return size;
}

}  // namespace

// The name under which PHP stores an argument (php_register_variable_ex).
uint32_t php_args_names(rl_view in, char *out) {
  if (in.size == 0 || in.data[0] == '[' || in.data[0] == '=') return 0;
  uint32_t size = 0, i = 0;
  bool open = false;
  while (i < in.size && in.data[i] == ' ') ++i;
  // Only the first "[" is looked for: when it is never closed, it is an underscore and all behind it is literal. What
  // follows a null byte is not searched.
  for (; i < in.size; ++i) {
    char c = in.data[i];
    if (c == '[' && !open) {
      if (closing(in, i)) return size + copy_subscripts(in, i, out + size);
      open = true;
      c = '_';
    } else if (!open && (c == ' ' || c == '.')) {
      c = '_';
    }
    out[size++] = c;
  }
  return size;
}

}  // namespace rl
