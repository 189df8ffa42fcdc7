#include "wire/text.h"

namespace rl {

char *write_hex(char *to, uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) *to++ = "0123456789abcdef"[value >> shift & 15];
  return to;
}

char *copy_lower(char *to, rl_view from) {
  for (uint32_t i = 0; i < from.size; i++) {
    char byte = from.data[i];
    *to++ = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte | 0x20) : byte;
  }
  return to;
}

// How many bytes the UTF-8 sequence at `at` has; 0 when it is not well-formed (Unicode 15, table 3-7).
static size_t sequence_size(const uint8_t *at, const uint8_t *end) {
  uint8_t first = at[0];
  if (first < 0x80) return 1;
  size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || static_cast<size_t>(end - at) < size) return 0;
  uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < least || at[1] > most) return 0;
  for (size_t i = 2; i < size; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  return size;
}

char *copy_broken_utf8(char *to, rl_view from) {
  auto at = reinterpret_cast<const uint8_t *>(from.data), end = at + from.size;
  while (at < end) {
    size_t size = sequence_size(at, end);
    if (size == 0) {
      *to++ = '?';
      at++;
    } else {
      std::memcpy(to, at, size);
      to += size;
      at += size;
    }
  }
  return to;
}

char *write_json_string(char *to, rl_view from) {
  auto at = reinterpret_cast<const uint8_t *>(from.data), end = at + from.size;
  *to++ = '"';
  while (at < end) {
    size_t size = sequence_size(at, end);
    if (size == 0) {
      *to++ = '?';
      at++;
    } else if (size == 1 && *at < 0x20) {
      to = copy(to, std::string_view("\\u00"));
      *to++ = "0123456789abcdef"[*at >> 4];
      *to++ = "0123456789abcdef"[*at & 15];
      at++;
    } else {
      if (*at == '"' || *at == '\\') *to++ = '\\';
      std::memcpy(to, at, size);
      to += size;
      at += size;
    }
  }
  *to++ = '"';
  return to;
}

char *write_sf_string(char *to, rl_view from) {
  *to++ = '"';
  for (uint32_t i = 0; i < from.size; i++) {
    char byte = from.data[i];
    if (byte == '"' || byte == '\\') *to++ = '\\';
    *to++ = byte >= 0x20 && byte <= 0x7e ? byte : '?';
  }
  *to++ = '"';
  return to;
}

}  // namespace rl
