#include "bytes/transform.h"

#include <array>
#include <cstring>

#include "bytes/ascii.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

enum ByteClass : uint32_t {
  kUpper = 1 << 0,
  kPercent = 1 << 1,
  kPlus = 1 << 2,
  kAmpersand = 1 << 3,
  kBlank = 1 << 4,       // the space itself
  kWhitespace = 1 << 5,  // the other bytes of isspace()
  kNull = 1 << 6,
  kSlash = 1 << 7,
  kDot = 1 << 8,
  kBackslash = 1 << 9,
  kDash = 1 << 10,
  kHash = 1 << 11,
  kLess = 1 << 12,
  kQuote = 1 << 13,      // " ' ^
  kSeparator = 1 << 14,  // , ;
  kHigh = 1 << 15,       // 0x80 and above
  kAny = 1 << 16,        // every byte
};

constexpr uint32_t class_of(int c) {
  uint32_t bits = kAny;
  if (c >= 'A' && c <= 'Z') bits |= kUpper;
  if (c == '%') bits |= kPercent;
  if (c == '+') bits |= kPlus;
  if (c == '&') bits |= kAmpersand;
  if (c == ' ') bits |= kBlank;
  if (c >= '\t' && c <= '\r') bits |= kWhitespace;
  if (c == 0) bits |= kNull;
  if (c == '/') bits |= kSlash;
  if (c == '.') bits |= kDot;
  if (c == '\\') bits |= kBackslash;
  if (c == '-') bits |= kDash;
  if (c == '#') bits |= kHash;
  if (c == '<') bits |= kLess;
  if (c == '"' || c == '\'' || c == '^') bits |= kQuote;
  if (c == ',' || c == ';') bits |= kSeparator;
  if (c >= 0x80) bits |= kHigh;
  return bits;
}

constexpr std::array<uint32_t, 256> kClasses = [] {
  std::array<uint32_t, 256> table{};
  for (int c = 0; c < 256; ++c) table[static_cast<size_t>(c)] = class_of(c);
  return table;
}();

struct Transformation {
  uint32_t (*apply)(rl_view in, char *out);
  uint32_t classes;
};

// By plan.Transformation.
constexpr Transformation kTransformations[RL_TRANSFORMATIONS] = {
    {lowercase, kUpper},
    {url_decode, kPercent | kPlus},
    {url_decode_uni, kPercent | kPlus},
    {html_entity_decode, kAmpersand},
    {compress_whitespace, kBlank | kWhitespace},
    {remove_whitespace, kBlank | kWhitespace | kHigh},
    {remove_nulls, kNull},
    {replace_comments, kSlash},
    {remove_comments, kSlash | kLess | kDash | kHash},
    {normalize_path, kSlash | kDot},
    {js_decode, kBackslash},
    {css_decode, kBackslash},
    {cmd_line, kUpper | kQuote | kBackslash | kSeparator | kBlank | kWhitespace},
    {base64_decode, kAny},
    {hex_decode, kAny},
    {trim, kBlank | kWhitespace},
    {utf8_to_unicode, kHigh | kNull},
    {escape_seq_decode, kBackslash},
};

}  // namespace
}  // namespace rl

uint32_t rl_transform_room(int kind, uint32_t size) {
  // Nothing grows, but that utf8_to_unicode turns two bytes into seven at worst.
  uint64_t room = rl::kTransformations[kind].apply == rl::utf8_to_unicode ? uint64_t{size} * 4 : size;
  return static_cast<uint32_t>(room > UINT32_MAX ? UINT32_MAX : room);
}

int rl_transform(int kind, rl_view in, uint32_t classes, char *out, uint32_t *size) {
  const rl::Transformation &transformation = rl::kTransformations[kind];
  *size = in.size;
  if (!(classes & transformation.classes)) return 0;
  uint32_t written = transformation.apply(in, out);
  if (written == rl::kUnchanged || (written == in.size && std::memcmp(out, in.data, in.size) == 0)) return 0;
  *size = written;
  return 1;
}

uint32_t rl_byte_classes(rl_view text) {
  uint32_t classes = 0;
  for (uint32_t i = 0; i < text.size; ++i) classes |= rl::kClasses[static_cast<uint8_t>(text.data[i])];
  return classes;
}

uint32_t rl_transform_classes(int kind) { return rl::kTransformations[kind].classes; }
