#include "bytes/blocks.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

// "%u" and at least four hexadecimal digits.
char *write_unicode(char *at, uint32_t code) {
  static const char digits[] = "0123456789abcdef";
  *at++ = '%';
  *at++ = 'u';
  int shift = 12;
  while (code >> (shift + 4)) shift += 4;
  for (; shift >= 0; shift -= 4) *at++ = digits[code >> shift & 15];
  return at;
}

// Bytes that a first byte announces, 0 for one that begins nothing; and its share of the code point.
int sequence_length(unsigned first, uint32_t *code) {
  if ((first & 0xe0) == 0xc0) return *code = first & 0x1f, 2;
  if ((first & 0xf0) == 0xe0) return *code = first & 0x0f, 3;
  if ((first & 0xf8) == 0xf0) return *code = first & 0x07, 4;
  return 0;
}

}  // namespace

// Sequences become %uHHHH; a broken sequence loses its first byte; overlong ones and surrogates are followed by it. A
// null byte that is not the last is lost.
uint32_t utf8_to_unicode(rl_view in, char *out) {
  static const uint32_t kLeast[5] = {0, 0, 0x80, 0x800, 0x10000};
  char *at = out;
  for (uint32_t i = 0; i < in.size;) {
    uint32_t copied = copy_plain(in, i, at, [](Block b) { return (b & 0x80) | equals(b, '\0'); });
    at += copied;
    i += copied;
    if (i == in.size) break;
    char c = in.data[i];
    unsigned first = static_cast<uint8_t>(c);
    uint32_t code = 0;
    int length = sequence_length(first, &code);
    if (length == 0) {
      if (c != '\0' || i + 1 == in.size) *at++ = c;
      ++i;
      continue;
    }
    if (first >= 0xf5) *at++ = c;
    uint32_t more = 1;
    while (more < static_cast<uint32_t>(length) && i + more < in.size && (in.data[i + more] & 0xc0) == 0x80) {
      code = code << 6 | (static_cast<uint8_t>(in.data[i + more]) & 0x3f);
      ++more;
    }
    if (more < static_cast<uint32_t>(length)) {
      ++i;
      continue;
    }
    at = write_unicode(at, code);
    if (code >= 0xd800 && code <= 0xdfff) *at++ = c;
    if (code < kLeast[length]) *at++ = c;
    i += static_cast<uint32_t>(length);
  }
  return static_cast<uint32_t>(at - out);
}

}  // namespace rl
