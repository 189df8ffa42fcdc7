#include "bytes/boundary.h"

#include <cstring>

#include "bytes/ascii.h"
#include "bytes/form_data.h"

namespace rl {
namespace {

constexpr char kWord[] = "boundary", kType[] = "multipart/form-data";
constexpr uint32_t kWordSize = sizeof kWord - 1, kTypeSize = sizeof kType - 1;

bool starts_ignoring_case(const char *at, const char *end, const char *word, uint32_t size) {
  if (end - at < static_cast<ptrdiff_t>(size)) return false;
  for (uint32_t i = 0; i < size; ++i) {
    if (to_lower(at[i]) != word[i]) return false;
  }
  return true;
}

// How often the word stands in front of some "=", in whatever case.
uint32_t count_parameters(rl_view text) {
  const char *begin = text.data, *end = begin + text.size;
  uint32_t count = 0;
  const char *last_equals = end;
  while (last_equals != begin && last_equals[-1] != '=') --last_equals;
  for (const char *at = begin; at < end;) {
    if (starts_ignoring_case(at, end, kWord, kWordSize)) {
      at += kWordSize;
      if (at < last_equals) ++count;
    } else {
      ++at;
    }
  }
  return count;
}

// RFC 2046, but for "=" and what its grammar says of the last character being no space.
bool has_valid_characters(rl_view text) {
  for (uint32_t i = 0; i < text.size; ++i) {
    char c = text.data[i];
    bool space = c == ' ' && i + 1 < text.size;
    if (!space && !is_alnum(c) && (c == 0 || !std::strchr("'()+_,-./:=?", c))) return false;
  }
  return true;
}

const char *find(const char *begin, const char *end, char c) {
  const void *at = begin == end ? nullptr : std::memchr(begin, c, static_cast<size_t>(end - begin));
  return at ? static_cast<const char *>(at) : end;
}

rl_view none(uint32_t *flags, const char **error, const char *message) {
  *flags |= RL_FORM_DATA_ERROR;
  *error = message;
  return {nullptr, 0};
}

// What stands between the type and the word: white space and one semicolon.
bool leads_to_parameter(const char *at, const char *end, uint32_t *flags) {
  bool semicolon = false;
  for (; at < end; ++at) {
    if (is_space(*at)) continue;
    if (*at != ';' || semicolon) return false;
    semicolon = true;
  }
  if (!semicolon) *flags |= RL_FORM_DATA_SEMICOLON_MISSING;
  return true;
}

rl_view check_boundary(rl_view boundary, uint32_t *flags, const char **error) {
  if (boundary.size == 0) return boundary;
  if (count_parameters(boundary) != 0) return none(flags, error, "Multipart: Invalid boundary in C-T (content).");
  if (!has_valid_characters(boundary)) {
    // Other parameters behind it are tolerated.
    boundary.size = static_cast<uint32_t>(find(boundary.data, boundary.data + boundary.size, ';') - boundary.data);
  }
  if (!has_valid_characters(boundary)) return none(flags, error, "Multipart: Invalid boundary in C-T (characters).");
  if (boundary.size == 0) return none(flags, error, "Multipart: Invalid boundary in C-T (empty).");
  return boundary;
}

}  // namespace

rl_view find_boundary(rl_view content_type, uint32_t *flags, const char **error) {
  if (content_type.size == 0) return none(flags, error, "Multipart: Content-Type header not available.");
  if (content_type.size > RL_FORM_DATA_BOUNDARY_BYTES) {
    return none(flags, error, "Multipart: Invalid boundary in C-T (length).");
  }
  const char *begin = content_type.data, *end = find(begin, begin + content_type.size, 0);
  if (!starts_ignoring_case(begin, end, kType, kTypeSize)) return none(flags, error, "Multipart: Invalid MIME type.");
  uint32_t count = count_parameters({begin, static_cast<uint32_t>(end - begin)});
  if (count > 1) return none(flags, error, "Multipart: Multiple boundary parameters in C-T.");
  const void *found = memmem(begin, static_cast<size_t>(end - begin), kWord, kWordSize);
  if (!found) {
    return none(
        flags, error,
        count > 0 ? "Multipart: Invalid boundary in C-T (case sensitivity)." : "Multipart: Boundary not found in C-T.");
  }
  const char *word = static_cast<const char *>(found), *equals = find(word + kWordSize, end, '=');
  if (!leads_to_parameter(begin + kTypeSize, word, flags) || equals == end) {
    return none(flags, error, "Multipart: Invalid boundary in C-T (malformed).");
  }
  for (const char *at = word + kWordSize; at < equals; ++at) {
    if (!is_space(*at)) return none(flags, error, "Multipart: Invalid boundary in C-T (parameter name).");
    *flags |= RL_FORM_DATA_BOUNDARY_WHITESPACE;
  }
  const char *value = equals + 1;
  if (value < end && is_space(*value)) *flags |= RL_FORM_DATA_BOUNDARY_WHITESPACE;
  bool opens = value < end && *value == '"', closes = end - value >= 2 && end[-1] == '"';
  if (opens != closes) {
    return none(flags, error, "Multipart: Invalid boundary in C-T (quote).");
  }
  if (opens) {
    ++value;
    --end;
    if (value != end) *flags |= RL_FORM_DATA_BOUNDARY_QUOTED;
  }
  return check_boundary({value, static_cast<uint32_t>(end - value)}, flags, error);
}

}  // namespace rl
