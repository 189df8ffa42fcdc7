#include <cstring>

#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

template <typename Keep>
uint32_t keep_if(rl_view in, char *out, Keep keep) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size; ++i) {
    out[size] = in.data[i];
    size += keep(in.data[i]) ? 1 : 0;
  }
  return size;
}

// Is there a run of whitespace, or any but the blank?
bool has_loose_space(rl_view in) {
  uint32_t i = 0;
  for (; in.size - i > sizeof(Block); i += sizeof(Block)) {
    Block block = load_block(in.data + i), next = load_block(in.data + i + 1);
    if (first_set(within(block, '\t', '\r') | (equals(block, ' ') & equals(next, ' '))) < sizeof(Block)) return true;
  }
  for (; i < in.size; ++i) {
    char c = in.data[i];
    if (is_space(c) && (c != ' ' || (i + 1 < in.size && in.data[i + 1] == ' '))) return true;
  }
  return false;
}

uint32_t leading_space(rl_view in) {
  uint32_t size = 0;
  while (size < in.size && is_space(in.data[size])) ++size;
  return size;
}

uint32_t copy_range(rl_view in, uint32_t begin, uint32_t end, char *out) {
  if (end - begin == in.size) return kUnchanged;
  std::memcpy(out, in.data + begin, end - begin);
  return end - begin;
}

}  // namespace

uint32_t compress_whitespace(rl_view in, char *out) {
  if (!has_loose_space(in)) return kUnchanged;
  uint32_t size = 0;
  bool after_space = false;
  for (uint32_t i = 0; i < in.size; ++i) {
    bool space = is_space(in.data[i]);
    if (!(space && after_space)) out[size++] = space ? ' ' : in.data[i];
    after_space = space;
  }
  return size;
}

uint32_t remove_whitespace(rl_view in, char *out) {
  // U+00A0 in UTF-8 and in Latin-1.
  return keep_if(in, out, [](char c) { return !is_space(c) && c != '\xc2' && c != '\xa0'; });
}

uint32_t remove_nulls(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_plain(in, i, out + size, [](Block block) { return equals(block, '\0'); });
    size += copied;
    i += copied;
    if (i == in.size) break;
    out[size] = in.data[i];
    size += in.data[i++] != '\0' ? 1 : 0;
  }
  return size;
}

uint32_t trim(rl_view in, char *out) {
  uint32_t begin = leading_space(in), end = in.size;
  while (begin < end && is_space(in.data[end - 1])) --end;
  return copy_range(in, begin, end, out);
}

uint32_t trim_left(rl_view in, char *out) { return copy_range(in, leading_space(in), in.size, out); }

uint32_t trim_right(rl_view in, char *out) {
  uint32_t end = in.size;
  while (end > 0 && is_space(in.data[end - 1])) --end;
  return copy_range(in, 0, end, out);
}

}  // namespace rl
