#include "bytes/transform.h"

#include <cstring>

#include "bytes/classes.h"
#include "bytes/transforms.h"

namespace rl {
namespace {

constexpr uint32_t kSpaces = kBlank | kControlSpace;
constexpr uint32_t kUpper = kUpperFirst | kUpperLast;
constexpr uint32_t kLower = kLowerFirst | kLowerLast;

struct Transformation {
  uint32_t (*apply)(rl_view in, char *out);
  uint32_t classes;
  // Room: factor * size + more.
  uint32_t factor = 1, more = 0;
};

// By plan.Transformation.
constexpr Transformation kTransformations[RL_TRANSFORMATIONS] = {
    {lowercase, kUpper},
    {url_decode, kPercent | kPlus},
    {url_decode_uni, kPercent | kPlus},
    {html_entity_decode, kAmpersand},
    {compress_whitespace, kSpaces},
    {remove_whitespace, kSpaces | kHigh},
    {remove_nulls, kNull},
    {replace_comments, kSlash},
    {remove_comments, kSlash | kLess | kDash | kHash},
    {normalize_path, kSlash | kDot},
    {js_decode, kBackslash},
    {css_decode, kBackslash},
    {cmd_line, kUpper | kQuote | kCaret | kBackslash | kComma | kSemicolon | kSpaces},
    {base64_decode, kAny},
    {hex_decode, kAny},
    {trim, kSpaces},
    {utf8_to_unicode, kHigh | kNull, 4},  // two bytes become seven at worst
    {escape_seq_decode, kBackslash},
    {base64_decode_ext, kAny},
    {base64_encode, kAny, 2, 4},
    {hex_encode, kAny, 2},
    {length, kAlways, 1, 10},
    {md5, kAlways, 1, 16},
    {sha1, kAlways, 1, 20},
    {normalize_path_win, kSlash | kDot | kBackslash},
    {parity_even, kAny},
    {parity_odd, kAny},
    {parity_zero, kHigh},
    {remove_comments_char, kSlash | kStar | kLess | kDash | kHash},
    {replace_nulls, kNull},
    {sql_hex_decode, kZero},
    {trim_left, kSpaces},
    {trim_right, kSpaces},
    {url_encode, kAny, 3},
    {uppercase, kLower},
    {php_args_names, kBracket | kEquals | kBlank | kDot},
};

}  // namespace
}  // namespace rl

uint32_t rl_transform_room(int kind, uint32_t size) {
  const rl::Transformation &transformation = rl::kTransformations[kind];
  uint64_t room = uint64_t{size} * transformation.factor + transformation.more;
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

uint32_t rl_transform_classes(int kind) { return rl::kTransformations[kind].classes; }
