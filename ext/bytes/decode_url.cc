#include "bytes/ascii.h"
#include "bytes/blocks.h"
#include "bytes/query.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

bool is_hex(const char *digits, int count) {
  for (int i = 0; i < count; ++i) {
    if (hex_value(digits[i]) < 0) return false;
  }
  return true;
}

}  // namespace

uint32_t url_decode(rl_view in, char *out) { return rl_url_decode(in, out); }

// %HH, %uHHHH (the low byte alone, full-width folded) and "+".
uint32_t url_decode_uni(rl_view in, char *out) {
  uint32_t size = 0;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_plain(in, i, out + size, [](Block b) { return equals(b, '%') | equals(b, '+'); });
    size += copied;
    i += copied;
    if (i == in.size) break;
    const char *at = in.data + i;
    uint32_t left = in.size - i;
    if (*at == '+') {
      out[size++] = ' ';
      ++i;
    } else if (*at == '%' && left > 1 && (at[1] | 32) == 'u') {
      if (left > 5 && is_hex(at + 2, 4)) {
        out[size++] = full_width(hex_byte(at + 4), at + 2);
        i += 6;
      } else {
        out[size++] = *at;
        out[size++] = at[1];
        i += 2;
      }
    } else if (*at == '%' && left > 2 && is_hex(at + 1, 2)) {
      out[size++] = static_cast<char>(hex_byte(at + 1));
      i += 3;
    } else {
      out[size++] = *at;
      ++i;
    }
  }
  return size;
}

}  // namespace rl
