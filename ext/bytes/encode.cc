#include "bytes/ascii.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint32_t byte_at(rl_view in, uint32_t at) { return at < in.size ? static_cast<uint8_t>(in.data[at]) : 0; }

char *write_hex(char *to, char c) {
  *to++ = kHexDigits[static_cast<uint8_t>(c) >> 4];
  *to++ = kHexDigits[c & 15];
  return to;
}

}  // namespace

uint32_t base64_encode(rl_view in, char *out) {
  char *to = out;
  for (uint32_t i = 0; i < in.size; i += 3) {
    uint32_t bits = byte_at(in, i) << 16 | byte_at(in, i + 1) << 8 | byte_at(in, i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) *to++ = kBase64Digits[bits >> shift & 63];
  }
  for (uint32_t i = 0; i < (3 - in.size % 3) % 3; ++i) to[-1 - static_cast<int>(i)] = '=';
  return static_cast<uint32_t>(to - out);
}

uint32_t hex_encode(rl_view in, char *out) {
  char *to = out;
  for (uint32_t i = 0; i < in.size; ++i) to = write_hex(to, in.data[i]);
  return static_cast<uint32_t>(to - out);
}

// Letters, digits and "*" stand for themselves.
uint32_t url_encode(rl_view in, char *out) {
  char *to = out;
  for (uint32_t i = 0; i < in.size; ++i) {
    char c = in.data[i];
    if (is_alnum(c) || c == '*') {
      *to++ = c;
    } else if (c == ' ') {
      *to++ = '+';
    } else {
      *to++ = '%';
      to = write_hex(to, c);
    }
  }
  return static_cast<uint32_t>(to - out);
}

}  // namespace rl
