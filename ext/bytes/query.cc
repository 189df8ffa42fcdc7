#include "bytes/query.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

rl_view view(const char *begin, const char *end) { return {begin, static_cast<uint32_t>(end - begin)}; }

const char *find(const char *begin, const char *end, char c) {
  const void *at = begin == end ? nullptr : std::memchr(begin, c, static_cast<size_t>(end - begin));
  return at ? static_cast<const char *>(at) : end;
}

// "a=1" as a pair; without "=" the value is empty.
void split_pair(const char *begin, const char *end, rl_pair *out) {
  const char *equals = find(begin, end, '=');
  out->name = view(begin, equals);
  out->value = view(equals == end ? end : equals + 1, end);
}

void trim_blanks(const char **begin, const char **end) {
  while (*begin != *end && is_blank(**begin)) ++*begin;
  while (*begin != *end && is_blank((*end)[-1])) --*end;
}

rl_view trimmed(rl_view text) {
  const char *begin = text.data, *end = text.data + text.size;
  trim_blanks(&begin, &end);
  return view(begin, end);
}

// Where the path of "http://h/a" starts; the beginning for anything that is not an absolute URI (RFC 9112
// section 3.2.2).
const char *skip_origin(const char *begin, const char *end) {
  if (begin == end || !is_alpha(*begin)) return begin;
  const char *at = begin;
  while (at != end && (is_alnum(*at) || *at == '+' || *at == '-' || *at == '.')) ++at;
  if (end - at < 3 || std::memcmp(at, "://", 3) != 0) return begin;
  at += 3;
  while (at != end && *at != '/' && *at != '?' && *at != '#') ++at;
  return at;
}

// Is the path what normalising would make of it?
bool is_normal(rl_view raw) {
  if (raw.size == 0 || raw.data[0] != '/') return false;
  bool after_slash = false;
  for (uint32_t i = 0; i < raw.size; ++i) {
    char c = raw.data[i];
    if (c == '%' || (after_slash && (c == '/' || c == '.'))) return false;
    after_slash = c == '/';
  }
  return true;
}

}  // namespace
}  // namespace rl

int rl_query_next(rl_view query, uint32_t *cursor, rl_pair *out) {
  const char *end = query.data + query.size;
  while (*cursor < query.size) {
    const char *begin = query.data + *cursor, *stop = rl::find(begin, end, '&');
    *cursor = static_cast<uint32_t>(stop - query.data) + (stop != end ? 1 : 0);
    if (begin == stop) continue;
    rl::split_pair(begin, stop, out);
    return 1;
  }
  return 0;
}

int rl_cookie_next(rl_view cookie, uint32_t *cursor, rl_pair *out) {
  const char *end = cookie.data + cookie.size;
  while (*cursor < cookie.size) {
    const char *begin = cookie.data + *cursor, *stop = rl::find(begin, end, ';');
    *cursor = static_cast<uint32_t>(stop - cookie.data) + (stop != end ? 1 : 0);
    rl::trim_blanks(&begin, &stop);
    if (begin == stop) continue;
    rl::split_pair(begin, stop, out);
    out->name = rl::trimmed(out->name);
    out->value = rl::trimmed(out->value);
    return 1;
  }
  return 0;
}

uint32_t rl_url_decode(rl_view text, char *out) {
  char *to = out;
  for (uint32_t i = 0; i < text.size; ++i) {
    char c = text.data[i];
    if (c == '+') {
      c = ' ';
    } else if (c == '%' && text.size - i > 2) {
      int byte = rl::hex_byte(text.data + i + 1);
      if (byte >= 0) {
        c = static_cast<char>(byte);
        i += 2;
      }
    }
    *to++ = c;
  }
  return static_cast<uint32_t>(to - out);
}

void rl_target_split(rl_view target, rl_view *path, rl_view *query) {
  const char *end = target.data + target.size;
  end = rl::find(target.data, end, '#');
  const char *begin = rl::skip_origin(target.data, end), *mark = rl::find(begin, end, '?');
  *path = rl::view(begin, mark);
  *query = rl::view(mark == end ? end : mark + 1, end);
}

uint32_t rl_path_normalize(rl_view raw, char *out) {
  if (rl::is_normal(raw)) {
    std::memcpy(out, raw.data, raw.size);
    return raw.size;
  }
  // Every byte written stands for at least one byte read, but for the first slash; a byte is taken back at most once.
  uint32_t size = 0, i = 0;
  out[size++] = '/';
  while (i < raw.size) {
    uint32_t segment = size;
    bool slash = false;
    while (i < raw.size && !slash) {
      char c = raw.data[i++];
      if (c == '%' && raw.size - i >= 2) {
        int byte = rl::hex_byte(raw.data + i);
        if (byte >= 0) {
          c = static_cast<char>(byte);
          i += 2;
        }
      }
      if (c == '/') {
        slash = true;
      } else {
        out[size++] = c;
      }
    }
    uint32_t length = size - segment;
    if (length == 1 && out[segment] == '.') {
      size = segment;
    } else if (length == 2 && out[segment] == '.' && out[segment + 1] == '.') {
      size = segment > 1 ? segment - 1 : 1;
      while (out[size - 1] != '/') --size;
    } else if (length > 0 && slash) {
      out[size++] = '/';
    }
  }
  return size;
}
