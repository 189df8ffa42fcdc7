#include "bytes/uri.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

const char *find(const char *begin, const char *end, char c) {
  const void *at = begin == end ? nullptr : std::memchr(begin, c, static_cast<size_t>(end - begin));
  return at ? static_cast<const char *>(at) : end;
}

rl_view view(const char *begin, const char *end) { return {begin, static_cast<uint32_t>(end - begin)}; }

// Percent-decodes to `to`; returns the end of what it wrote.
char *decode(const char *begin, const char *end, char *to) {
  for (const char *at = begin; at != end;) {
    int byte = *at == '%' && end - at > 2 ? hex_byte(at + 1) : -1;
    *to++ = byte < 0 ? *at : static_cast<char>(byte);
    at += byte < 0 ? 1 : 3;
  }
  return to;
}

rl_view basename(rl_view path) {
  for (uint32_t i = path.size; i-- > 0;) {
    if (path.data[i] == '/' || path.data[i] == '\\') return {path.data + i + 1, path.size - i - 1};
  }
  return {path.data, 0};
}

// "scheme://host/a" without what stands before the path; anything else as it is.
rl_view without_origin(rl_view uri) {
  const char *begin = uri.data, *end = begin + uri.size;
  if (begin == end || *begin == '/') return uri;
  const char *colon = find(begin, end, ':');
  if (end - colon < 3 || colon[1] != '/' || colon[2] != '/') return uri;
  const char *path = find(colon + 3, end, '/');
  return path == end ? uri : view(path, end);
}

}  // namespace
}  // namespace rl

void rl_uri_read(rl_view target, char *buffer, rl_uri *out) {
  const char *end = rl::find(target.data, target.data + target.size, '#');
  const char *mark = rl::find(target.data, end, '?');
  char *path_end = rl::decode(target.data, mark, buffer), *uri_end = path_end;
  out->filename = rl::view(buffer, path_end);
  out->basename = rl::basename(out->filename);
  out->query = {end, 0};
  if (mark != end) {
    out->query = rl::view(mark + 1, end);
    *uri_end++ = '?';
    uri_end = rl::decode(mark + 1, end, uri_end);
  }
  out->uri = rl::without_origin(rl::view(buffer, uri_end));
}
