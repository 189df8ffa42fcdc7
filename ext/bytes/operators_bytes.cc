#include <cstring>

#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/operators.h"

namespace rl {
namespace {

// "32" or "32-126", with what stoi() forgives: blanks before a number and anything behind it.
bool parse_range(rl_view part, int32_t *first, int32_t *last) {
  const void *dash = std::memchr(part.data, '-', part.size);
  uint32_t split = dash ? static_cast<uint32_t>(static_cast<const char *>(dash) - part.data) : part.size;
  auto number = [&](uint32_t from, uint32_t to, int32_t *out) {
    while (from < to && is_space(part.data[from])) ++from;
    *out = rl_op_int({part.data + from, to - from});
    return from < to && (is_digit(part.data[from]) || (to - from > 1 && part.data[from] == '+'));
  };
  if (!number(0, split, first)) return false;
  *last = *first;
  if (dash && !number(split + 1, part.size, last)) return false;
  return *first >= 0 && *first <= *last && *last <= 255;
}

void add_byte(rl_byte_set *set, int32_t byte) {
  set->rows[(byte >> 7) * 16 + (byte & 15)] |= static_cast<uint8_t>(1 << (byte >> 4 & 7));
}

bool has_byte(const rl_byte_set *set, uint8_t byte) {
  return set->rows[(byte >> 7) * 16 + (byte & 15)] >> (byte >> 4 & 7) & 1;
}

// Length of the UTF-8 sequence at `at`, 0 when there is none (RFC 3629).
uint32_t utf8_length(const char *at, uint32_t left) {
  static constexpr uint32_t kLeast[5] = {0, 0, 0x80, 0x800, 0x10000};
  auto first = static_cast<uint8_t>(at[0]);
  if (first < 0x80) return 1;
  uint32_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc0 || first >= 0xf5 || left < length) return 0;
  uint32_t code = first & (0xff >> (length + 1));
  for (uint32_t i = 1; i < length; ++i) {
    if ((at[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (static_cast<uint8_t>(at[i]) & 0x3f);
  }
  return code < kLeast[length] || (code >= 0xd800 && code <= 0xdfff) ? 0 : length;
}

}  // namespace
}  // namespace rl

uint32_t rl_byte_set_parse(rl_view param, rl_byte_set *set) {
  std::memset(set, 0, sizeof *set);
  uint32_t bad = 0;
  for (uint32_t begin = 0, end; begin <= param.size; begin = end + 1) {
    end = begin;
    while (end < param.size && param.data[end] != ',') ++end;
    int32_t first, last;
    if (!rl::parse_range({param.data + begin, end - begin}, &first, &last)) {
      ++bad;
      continue;
    }
    for (; first <= last; ++first) rl::add_byte(set, first);
  }
  return bad;
}

int rl_op_outside(rl_view text, const rl_byte_set *set) {
  using namespace rl;
  const Block bits = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const char *rows = reinterpret_cast<const char *>(set->rows);
  Block lower = load_block(rows), upper = load_block(rows + 16);
  uint32_t i = 0;
  for (; text.size - i >= sizeof(Block); i += sizeof(Block)) {
    Block block = load_block(text.data + i), low = block & 15;
    Block high = within(block, 0x80, 0xff);
    Block row = (look_up(lower, low) & ~high) | (look_up(upper, low) & high);
    Block inside = row & look_up(bits, block >> 4);
    if (first_set(equals(inside, 0)) < sizeof(Block)) return 1;
  }
  for (; i < text.size; ++i) {
    if (!has_byte(set, static_cast<uint8_t>(text.data[i]))) return 1;
  }
  return 0;
}

int rl_op_bad_url_encoding(rl_view text) {
  for (uint32_t i = 0; i < text.size; ++i) {
    const void *percent = std::memchr(text.data + i, '%', text.size - i);
    if (!percent) return 0;
    i = static_cast<uint32_t>(static_cast<const char *>(percent) - text.data);
    if (text.size - i < 3 || rl::hex_byte(text.data + i + 1) < 0) return 1;
    i += 2;
  }
  return 0;
}

int rl_op_bad_utf8(rl_view text) {
  using namespace rl;
  for (uint32_t i = 0; i < text.size;) {
    if (text.size - i >= sizeof(Block)) {
      uint32_t ascii = first_set(load_block(text.data + i) & 0x80);
      i += ascii;
      if (ascii > 0) continue;
    }
    uint32_t length = utf8_length(text.data + i, text.size - i);
    if (length == 0) return 1;
    i += length;
  }
  return 0;
}
