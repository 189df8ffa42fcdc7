#include <cstring>

#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

bool starts_with(rl_view in, uint32_t at, const char *word, uint32_t size) {
  return in.size - at >= size && std::memcmp(in.data + at, word, size) == 0;
}

// Bytes of the mark of a comment at `at`, 0 when there is none.
uint32_t comment_mark(rl_view in, uint32_t at) {
  switch (in.data[at]) {
    case '/':
      return starts_with(in, at, "/*", 2) ? 2 : 0;
    case '*':
      return starts_with(in, at, "*/", 2) ? 2 : 0;
    case '<':
      return starts_with(in, at, "<!--", 4) ? 4 : 0;
    case '-':
      return starts_with(in, at, "-->", 3) ? 3 : starts_with(in, at, "--", 2) ? 2 : 0;
    case '#':
      return 1;
    default:
      return 0;
  }
}

}  // namespace

uint32_t replace_comments(rl_view in, char *out) {
  // Slashes are common, comments are not.
  uint32_t opening = find_pair(in, 0, '/', '*'), at = 0, size = 0;
  if (opening == in.size) return kUnchanged;
  while (true) {
    std::memcpy(out + size, in.data + at, opening - at);
    size += opening - at;
    if (opening == in.size) return size;
    out[size++] = ' ';
    uint32_t closing = find_pair(in, opening + 2, '*', '/');
    if (closing == in.size) return size;
    at = closing + 2;
    opening = find_pair(in, at, '/', '*');
  }
}

uint32_t remove_comments(rl_view in, char *out) {
  uint32_t size = 0;
  bool inside = false;
  for (uint32_t i = 0; i < in.size;) {
    if (!inside) {
      if (starts_with(in, i, "--", 2) || in.data[i] == '#') return size;
      uint32_t opening = starts_with(in, i, "/*", 2) ? 2 : starts_with(in, i, "<!--", 4) ? 4 : 0;
      if (opening == 0) out[size++] = in.data[i++];
      inside = opening > 0;
      i += opening;
    } else {
      uint32_t closing = starts_with(in, i, "*/", 2) ? 2 : starts_with(in, i, "-->", 3) ? 3 : 0;
      if (closing == 0) {
        ++i;
        continue;
      }
      inside = false;
      i += closing;
      // The byte behind a comment is taken as it is; at the end ModSecurity takes its terminator.
      out[size++] = i < in.size ? in.data[i] : '\0';
      ++i;
    }
  }
  if (inside) out[size++] = ' ';
  return size;
}

uint32_t remove_comments_char(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t mark = comment_mark(in, i);
    if (mark == 0) out[size++] = in.data[i++];
    i += mark;
  }
  return size;
}

}  // namespace rl
