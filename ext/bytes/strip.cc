#include <cstring>

#include "bytes/ascii.h"
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
  bool after_blank = false;
  for (uint32_t i = 0; i < in.size; ++i) {
    char c = in.data[i];
    if ((c >= '\t' && c <= '\r') || (after_blank && c == ' ')) return true;
    after_blank = c == ' ';
  }
  return false;
}

}  // namespace

uint32_t lowercase(rl_view in, char *out) {
  using Block = uint8_t __attribute__((vector_size(16)));
  uint32_t i = 0;
  for (; in.size - i >= sizeof(Block); i += sizeof(Block)) {
    Block block;
    std::memcpy(&block, in.data + i, sizeof block);
    block |= reinterpret_cast<Block>(block >= 'A') & reinterpret_cast<Block>(block <= 'Z') & 0x20;
    std::memcpy(out + i, &block, sizeof block);
  }
  for (; i < in.size; ++i) out[i] = to_lower(in.data[i]);
  return in.size;
}

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
  return keep_if(in, out, [](char c) { return c != '\0'; });
}

uint32_t trim(rl_view in, char *out) {
  uint32_t begin = 0, end = in.size;
  while (begin < end && is_space(in.data[begin])) ++begin;
  while (begin < end && is_space(in.data[end - 1])) --end;
  for (uint32_t i = begin; i < end; ++i) out[i - begin] = in.data[i];
  return end - begin;
}

// What a shell makes of a command line: no quotes, one blank between words and none before "/" and "(".
uint32_t cmd_line(rl_view in, char *out) {
  uint32_t size = 0;
  bool after_blank = false;
  for (uint32_t i = 0; i < in.size; ++i) {
    char c = in.data[i];
    switch (c) {
      case '"':
      case '\'':
      case '\\':
      case '^':
        continue;
      case ' ':
      case ',':
      case ';':
      case '\t':
      case '\r':
      case '\n':
        if (!after_blank) out[size++] = ' ';
        after_blank = true;
        continue;
      case '/':
      case '(':
        if (after_blank) --size;
        break;
      default:
        c = to_lower(c);
    }
    out[size++] = c;
    after_blank = false;
  }
  return size;
}

}  // namespace rl
