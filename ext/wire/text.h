// Text on its way in (header names to lower case) and out (clean UTF-8, numbers, JSON and quoted strings).
#pragma once
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/view.h"

namespace rl {

inline rl_view view_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }
inline std::string_view to_string_view(rl_view view) { return {view.data, view.size}; }
inline bool equals(rl_view view, std::string_view text) { return to_string_view(view) == text; }

inline char *copy(char *to, rl_view from) {
  if (from.size) std::memcpy(to, from.data, from.size);
  return to + from.size;
}
inline char *copy(char *to, std::string_view from) { return copy(to, view_of(from)); }

// Decimal digits; at most 20 bytes.
inline char *write_decimal(char *to, uint64_t value) {
  if (value < 10) {
    *to = static_cast<char>('0' + value);
    return to + 1;
  }
  return std::to_chars(to, to + 20, value).ptr;
}
// 16 hex digits.
char *write_hex(char *to, uint64_t value);

// Is there an upper-case ASCII letter? Eight bytes at a time: this runs over every header name.
inline bool has_upper(rl_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  auto upper = [](uint64_t word) {
    uint64_t low = word & 0x7f * kOnes;
    uint64_t from_a = low + (0x80 - 'A') * kOnes, beyond_z = low + (0x7f - 'Z') * kOnes;
    return (from_a ^ beyond_z) & ~word & 0x80 * kOnes;
  };
  auto load = [](const char *from, size_t size) {
    uint64_t word = 0;
    std::memcpy(&word, from, size);
    return word;
  };
  const char *at = text.data, *end = at + text.size;
  if (text.size >= 8) {
    uint64_t found = upper(load(end - 8, 8));
    for (; end - at > 8; at += 8) found |= upper(load(at, 8));
    return found != 0;
  }
  if (text.size >= 4) return (upper(load(at, 4)) | upper(load(end - 4, 4))) != 0;
  bool found = false;
  for (; at < end; at++) found |= *at >= 'A' && *at <= 'Z';
  return found;
}
char *copy_lower(char *to, rl_view from);

inline bool is_ascii(rl_view text) {
  const char *at = text.data, *end = at + text.size;
  uint64_t word, seen = 0;
  for (; end - at >= 8; at += 8) {
    std::memcpy(&word, at, 8);
    seen |= word;
  }
  uint8_t rest = 0;
  for (; at < end; at++) rest |= static_cast<uint8_t>(*at);
  return ((seen | rest) & 0x8080808080808080) == 0;
}

// The first max bytes, without a character cut in two.
inline rl_view clip_utf8(rl_view text, uint32_t max) {
  if (text.size <= max) return text;
  while (max > 0 && (static_cast<uint8_t>(text.data[max]) & 0xc0) == 0x80) max--;
  return {text.data, max};
}

// Copies; every byte that is not part of a well-formed UTF-8 sequence becomes '?'. Writes exactly from.size bytes.
char *copy_broken_utf8(char *to, rl_view from);
inline char *copy_utf8(char *to, rl_view from) { return is_ascii(from) ? copy(to, from) : copy_broken_utf8(to, from); }

// A JSON string (RFC 8259) with its quotes: at most 6 * from.size + 2 bytes.
char *write_json_string(char *to, rl_view from);
// A structured-field string (RFC 8941, 3.3.3) with its quotes: at most 2 * from.size + 2 bytes. What it cannot hold
// becomes '?'.
char *write_sf_string(char *to, rl_view from);

}  // namespace rl
