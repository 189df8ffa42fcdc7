#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// "n" of "\n": the control byte that it stands for, or itself.
char control(char letter) {
  switch (letter) {
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return letter;
  }
}

// Up to three octal digits; the low byte of their value. Returns how many digits.
uint32_t read_octal(const char *at, uint32_t left, uint32_t most, char *value) {
  unsigned number = 0;
  uint32_t digits = 0;
  for (; digits < most && digits < left && is_octal(at[digits]); ++digits) {
    number = number * 8 + static_cast<unsigned>(at[digits] - '0');
  }
  *value = static_cast<char>(number);
  return digits;
}

// The escape at a backslash, of `left` bytes with it: how many bytes it takes, and the byte that it stands for.
uint32_t read_js(const char *at, uint32_t left, char *value) {
  if (left > 5 && at[1] == 'u' && hex_byte(at + 2) >= 0 && hex_byte(at + 4) >= 0) {
    *value = full_width(hex_byte(at + 4), at + 2);
    return 6;
  }
  if (left > 3 && at[1] == 'x' && hex_byte(at + 2) >= 0) {
    *value = static_cast<char>(hex_byte(at + 2));
    return 4;
  }
  // Three octal digits only when they fit a byte.
  if (uint32_t digits = read_octal(at + 1, left - 1, at[1] > '3' ? 2 : 3, value)) return digits + 1;
  *value = control(at[1]);
  return 2;
}

uint32_t read_c(const char *at, uint32_t left, char *value) {
  if (left > 3 && (at[1] | 32) == 'x' && hex_byte(at + 2) >= 0) {
    *value = static_cast<char>(hex_byte(at + 2));
    return 4;
  }
  if (uint32_t digits = read_octal(at + 1, left - 1, 3, value)) return digits + 1;
  *value = control(at[1]);
  return 2;
}

// The byte of 1 to 6 hexadecimal digits of a CSS escape: the last two, full-width folded when those before are "ff".
char css_byte(const char *digits, uint32_t count) {
  if (count == 1) return static_cast<char>(hex_value(digits[0]));
  int low = hex_byte(digits + count - 2);
  bool fold = count == 4 || (count == 5 && digits[0] == '0') || (count == 6 && digits[0] == '0' && digits[1] == '0');
  return fold ? full_width(low, digits + count - 4) : static_cast<char>(low);
}

uint32_t copy_to_backslash(rl_view in, uint32_t at, char *to) {
  return copy_plain(in, at, to, [](Block block) { return equals(block, '\\'); });
}

// Replaces each escape by its byte; read() is read_js or read_c. A backslash at the end stays.
template <typename Read>
uint32_t decode(rl_view in, char *out, Read read) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_to_backslash(in, i, out + size);
    size += copied;
    i += copied;
    if (i == in.size) break;
    char value = in.data[i];
    i += value == '\\' && in.size - i > 1 ? read(in.data + i, in.size - i, &value) : 1;
    out[size++] = value;
  }
  return size;
}

}  // namespace

uint32_t js_decode(rl_view in, char *out) { return decode(in, out, read_js); }

uint32_t escape_seq_decode(rl_view in, char *out) { return decode(in, out, read_c); }

uint32_t css_decode(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_to_backslash(in, i, out + size);
    size += copied;
    i += copied;
    if (i == in.size) break;
    if (in.data[i] != '\\') {
      out[size++] = in.data[i++];
      continue;
    }
    ++i;
    uint32_t digits = 0;
    while (digits < 6 && i + digits < in.size && hex_value(in.data[i + digits]) >= 0) ++digits;
    if (digits > 0) {
      out[size++] = css_byte(in.data + i, digits);
      i += digits;
      if (i < in.size && is_space(in.data[i])) ++i;  // one blank ends a hexadecimal escape
    } else if (i < in.size) {
      if (in.data[i] != '\n') out[size++] = in.data[i];
      ++i;
    }
  }
  return size;
}

}  // namespace rl
