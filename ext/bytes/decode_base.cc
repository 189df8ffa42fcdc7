#include <cstring>

#include "bytes/ascii.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (is_digit(c)) return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// Whole groups of four. Line ends, and blanks before them or at the end, may stand between the digits; at most two "=",
// only at the end.
bool is_base64(const char *text, uint32_t size) {
  int padding = 0, digits = 0;
  for (uint32_t i = 0; i < size; ++i) {
    uint32_t blanks = i;
    while (i < size && text[i] == ' ') ++i;
    if (i == size) break;
    if (text[i] == '\n' || (size - i >= 2 && text[i] == '\r' && text[i + 1] == '\n')) continue;
    if (i != blanks) return false;
    ++digits;
    if (text[i] == '=') {
      if (++padding > 2) return false;
    } else if (padding > 0 || base64_value(text[i]) < 0) {
      return false;
    }
  }
  return digits % 4 == 0;
}

// A digit as ModSecurity reads one, without asking whether it is one.
unsigned loose_hex(char c) {
  unsigned byte = static_cast<uint8_t>(c);
  return byte >= 'A' ? (byte & 0xdf) - 'A' + 10 : byte - '0';
}

}  // namespace

// Strict, up to the first null byte; text that is no base64 is left as it is.
uint32_t base64_decode(rl_view in, char *out) {
  const void *null = std::memchr(in.data, 0, in.size);
  uint32_t length = null ? static_cast<uint32_t>(static_cast<const char *>(null) - in.data) : in.size;
  if (!is_base64(in.data, length)) {
    std::memcpy(out, in.data, in.size);
    return in.size;
  }
  uint32_t size = 0, bits = 0;
  int digits = 0, equals = 0;
  for (uint32_t i = 0; i < length; ++i) {
    char c = in.data[i];
    if (c == '\r' || c == '\n' || c == ' ') continue;
    equals += c == '=' ? 1 : 0;
    bits = bits << 6 | (c == '=' ? 0 : static_cast<uint32_t>(base64_value(c)));
    if (++digits < 4) continue;
    digits = 0;
    out[size++] = static_cast<char>(bits >> 16);
    if (equals <= 1) out[size++] = static_cast<char>(bits >> 8);
    if (equals == 0) out[size++] = static_cast<char>(bits);
  }
  return size;
}

uint32_t hex_decode(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i + 1 < in.size; i += 2) {
    out[size++] = static_cast<char>(loose_hex(in.data[i]) * 16 + loose_hex(in.data[i + 1]));
  }
  return size;
}

// Forgiving: what is no digit is skipped. ModSecurity compares the value of the last byte
// with "=", which a final "9" also has, and then drops a lone digit's bits with all the rest.
uint32_t base64_decode_ext(rl_view in, char *out) {
  uint32_t size = 0, digits = 0, bits = 0;
  for (uint32_t i = 0; i < in.size; ++i) {
    char c = in.data[i];
    if (c == '=') {
      bool more = i + 1 < in.size && in.data[i + 1] == '=';
      if (!more && digits % 4 == 1) return 0;
      continue;
    }
    int value = base64_value(c);
    if (value < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    switch (digits++ % 4) {
      case 1:
        out[size++] = static_cast<char>(bits >> 4);
        break;
      case 2:
        out[size++] = static_cast<char>(bits >> 2);
        break;
      case 3:
        out[size++] = static_cast<char>(bits);
        break;
    }
  }
  bool padded = in.size > 0 && (in.data[in.size - 1] == '=' || in.data[in.size - 1] == '9');
  return padded && digits % 4 == 1 ? 0 : size;
}

// "0x" and pairs of digits anywhere.
uint32_t sql_hex_decode(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    const char *at = in.data + i;
    if (*at != '0' || in.size - i < 4 || (at[1] | 32) != 'x' || hex_byte(at + 2) < 0) {
      out[size++] = *at;
      ++i;
      continue;
    }
    for (i += 2; in.size - i >= 2 && hex_byte(in.data + i) >= 0; i += 2) {
      out[size++] = static_cast<char>(hex_byte(in.data + i));
    }
  }
  return size;
}

}  // namespace rl
