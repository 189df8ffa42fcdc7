#include "bytes/pairs.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

const char *find(const char *begin, const char *end, char c) {
  const void *at = begin == end ? nullptr : std::memchr(begin, c, static_cast<size_t>(end - begin));
  return at ? static_cast<const char *>(at) : end;
}

rl_view view(const char *begin, const char *end) { return {begin, static_cast<uint32_t>(end - begin)}; }

// The piece in front of the next separator. False when no byte is left: a last separator ends nothing new.
bool next_piece(rl_view text, char separator, uint32_t *cursor, const char **begin, const char **end) {
  if (*cursor >= text.size) return false;
  const char *stop = text.data + text.size;
  *begin = text.data + *cursor;
  *end = find(*begin, stop, separator);
  *cursor = static_cast<uint32_t>(*end - text.data) + (*end != stop ? 1 : 0);
  return true;
}

void split(const char *begin, const char *end, rl_pair *out) {
  const char *equals = find(begin, end, '=');
  out->name = view(begin, equals);
  out->value = view(equals == end ? end : equals + 1, end);
}

const char *find_escape(const char *at, const char *end) {
  while (at != end && *at != '%' && *at != '+') ++at;
  return at;
}

}  // namespace
}  // namespace rl

int rl_pairs_next(rl_view text, char separator, uint32_t *cursor, rl_pair *out) {
  const char *begin, *end;
  if (!rl::next_piece(text, separator, cursor, &begin, &end)) return 0;
  rl::split(begin, end, out);
  return 1;
}

rl_view rl_pairs_decode(rl_view text, char *out, int *invalid) {
  const char *end = text.data + text.size, *at = rl::find_escape(text.data, end);
  if (at == end) return text;
  std::memcpy(out, text.data, static_cast<size_t>(at - text.data));
  char *to = out + (at - text.data);
  while (at != end) {
    char c = *at++;
    if (c == '+') {
      c = ' ';
    } else if (c == '%') {
      int byte = end - at >= 2 ? rl::hex_byte(at) : -1;
      if (byte < 0) {
        if (invalid) *invalid = 1;
      } else {
        c = static_cast<char>(byte);
        at += 2;
      }
    }
    *to++ = c;
  }
  return {out, static_cast<uint32_t>(to - out)};
}

int rl_pairs_cookie(rl_view header, uint32_t *cursor, rl_pair *out) {
  const char *begin, *end;
  while (rl::next_piece(header, ';', cursor, &begin, &end)) {
    if (*cursor >= header.size) {
      while (end != begin && rl::is_space(end[-1])) --end;
    }
    rl::split(begin, end, out);
    while (out->name.size > 0 && rl::is_space(*out->name.data)) {
      ++out->name.data;
      --out->name.size;
    }
    if (out->name.size > 0) return 1;
  }
  return 0;
}
