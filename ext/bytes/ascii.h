// Byte classes that every reader of this room needs, as tables.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace rl {

// The value of a hexadecimal digit, or -1.
inline constexpr std::array<int8_t, 256> kHex = [] {
  std::array<int8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    int8_t value = -1;
    if (c >= '0' && c <= '9') value = static_cast<int8_t>(c - '0');
    if (c >= 'a' && c <= 'f') value = static_cast<int8_t>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') value = static_cast<int8_t>(c - 'A' + 10);
    table[static_cast<size_t>(c)] = value;
  }
  return table;
}();

inline int hex_value(char c) { return kHex[static_cast<uint8_t>(c)]; }
// Two hexadecimal digits as a byte, or -1 when either is none.
inline int hex_byte(const char *digits) {
  int high = hex_value(digits[0]), low = hex_value(digits[1]);
  return (high | low) < 0 ? -1 : high << 4 | low;
}
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }
constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
// isspace() of the C locale.
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
// Optional whitespace of HTTP fields (RFC 9110 section 5.6.3).
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace rl
