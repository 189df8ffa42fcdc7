#include <cstring>

#include "bytes/transforms.h"

namespace rl {
namespace {

bool starts_with(rl_view in, uint32_t at, const char *word, uint32_t size) {
  return in.size - at >= size && std::memcmp(in.data + at, word, size) == 0;
}

}  // namespace

uint32_t replace_comments(rl_view in, char *out) {
  // Slashes are common, comments are not.
  const void *opening = memmem(in.data, in.size, "/*", 2);
  if (!opening) return kUnchanged;
  uint32_t size = static_cast<uint32_t>(static_cast<const char *>(opening) - in.data);
  std::memcpy(out, in.data, size);
  bool inside = false;
  for (uint32_t i = size; i < in.size;) {
    if (starts_with(in, i, inside ? "*/" : "/*", 2)) {
      if (inside) out[size++] = ' ';
      inside = !inside;
      i += 2;
    } else {
      if (!inside) out[size++] = in.data[i];
      ++i;
    }
  }
  if (inside) out[size++] = ' ';  // never more than was read: the opening alone has two bytes
  return size;
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

}  // namespace rl
