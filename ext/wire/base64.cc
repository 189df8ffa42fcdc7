#include "wire/base64.h"

#include <array>
#include <cstring>

namespace rl {
namespace {

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum : uint8_t { kNoDigit = 0xff };
constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (uint8_t i = 0; i < 64; i++) values[static_cast<uint8_t>(kDigits[i])] = i;
  values['-'] = 62;
  values['_'] = 63;
  return values;
}();

}  // namespace

char *write_base64(char *to, rl_view from) {
  const auto *at = reinterpret_cast<const uint8_t *>(from.data);
  for (uint32_t left = from.size; left > 0; at += 3) {
    const uint32_t n = left < 3 ? left : 3;
    const uint32_t bits = static_cast<uint32_t>(at[0]) << 16 | (n > 1 ? static_cast<uint32_t>(at[1]) << 8 : 0) |
                          (n > 2 ? static_cast<uint32_t>(at[2]) : 0);
    *to++ = kDigits[bits >> 18];
    *to++ = kDigits[bits >> 12 & 63];
    *to++ = n > 1 ? kDigits[bits >> 6 & 63] : '=';
    *to++ = n > 2 ? kDigits[bits & 63] : '=';
    left -= n;
  }
  return to;
}

bool read_base64(rl_view text, char *to, rl_view *out) {
  uint32_t size = text.size;
  if (size > 0 && size % 4 == 0) {
    if (text.data[size - 1] == '=') --size;
    if (text.data[size - 1] == '=') --size;
  }
  if (size % 4 == 1) return false;
  const char *begin = to;
  uint32_t bits = 0, held = 0;
  for (uint32_t i = 0; i < size; i++) {
    const uint8_t value = kValues[static_cast<uint8_t>(text.data[i])];
    if (value == kNoDigit) return false;
    bits = bits << 6 | value;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    *to++ = static_cast<char>(bits >> held);
  }
  *out = {begin, static_cast<uint32_t>(to - begin)};
  return true;
}

}  // namespace rl
