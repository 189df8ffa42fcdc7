// The transformations behind rl_transform: each writes to out, which has rl_transform_room(kind, in.size) bytes, and
// returns the length, or kUnchanged when it sees early that there is nothing to do (out is then undefined).
#pragma once
#include "core/view.h"

namespace rl {

inline constexpr uint32_t kUnchanged = UINT32_MAX;

// strip.cc: what removes or folds single bytes.
uint32_t compress_whitespace(rl_view in, char *out);
uint32_t remove_whitespace(rl_view in, char *out);
uint32_t remove_nulls(rl_view in, char *out);
uint32_t trim(rl_view in, char *out);
uint32_t trim_left(rl_view in, char *out);
uint32_t trim_right(rl_view in, char *out);

// map.cc: a byte for each byte.
uint32_t lowercase(rl_view in, char *out);
uint32_t uppercase(rl_view in, char *out);
uint32_t replace_nulls(rl_view in, char *out);
uint32_t parity_even(rl_view in, char *out);
uint32_t parity_odd(rl_view in, char *out);
uint32_t parity_zero(rl_view in, char *out);

// command.cc
uint32_t cmd_line(rl_view in, char *out);

// comments.cc
uint32_t replace_comments(rl_view in, char *out);
uint32_t remove_comments(rl_view in, char *out);
uint32_t remove_comments_char(rl_view in, char *out);

// decode_url.cc
uint32_t url_decode(rl_view in, char *out);
uint32_t url_decode_uni(rl_view in, char *out);

// decode_html.cc
uint32_t html_entity_decode(rl_view in, char *out);

// decode_escape.cc: backslash escapes of JavaScript, CSS and C.
uint32_t js_decode(rl_view in, char *out);
uint32_t css_decode(rl_view in, char *out);
uint32_t escape_seq_decode(rl_view in, char *out);

// decode_base.cc
uint32_t base64_decode(rl_view in, char *out);
uint32_t base64_decode_ext(rl_view in, char *out);
uint32_t hex_decode(rl_view in, char *out);
uint32_t sql_hex_decode(rl_view in, char *out);

// decode_utf8.cc
uint32_t utf8_to_unicode(rl_view in, char *out);

// encode.cc
uint32_t base64_encode(rl_view in, char *out);
uint32_t hex_encode(rl_view in, char *out);
uint32_t url_encode(rl_view in, char *out);

// digest.cc: what tells a text in a few bytes.
uint32_t length(rl_view in, char *out);
uint32_t md5(rl_view in, char *out);
uint32_t sha1(rl_view in, char *out);

// dot_segments.cc
uint32_t normalize_path(rl_view in, char *out);
uint32_t normalize_path_win(rl_view in, char *out);

// php_names.cc
uint32_t php_args_names(rl_view in, char *out);

// Full-width ASCII (U+FF01 to U+FF5E) by its last two digits as read, when the first two are "ff".
inline char full_width(int low, const char *high_digits) {
  bool full = (high_digits[0] | 32) == 'f' && (high_digits[1] | 32) == 'f';
  return static_cast<char>(full && low > 0 && low < 0x5f ? low + 0x20 : low);
}

}  // namespace rl
