#include "wire/http1_head.h"

#include <array>
#include <cstring>

#include "core/request.h"
#include "wire/text.h"

namespace rl {
namespace {

enum : uint32_t { kMaxMethod = 32 };
enum : uint8_t { kToken = 1, kTarget = 2, kValue = 4, kHost = 8, kDigit = 16 };

// What may stand where, by byte. Tokens: RFC 9110 5.6.2. Targets: all but blanks and controls. Values: RFC 9110 5.5.
// Hosts: RFC 3986 3.2.2 without user information, a comma or anything else that joins or ends it.
constexpr std::array<uint8_t, 256> kClasses = [] {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; c++) {
    uint8_t in = 0;
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool high = c >= 0x80;
    if (digit || letter ||
        (c && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos))
      in |= kToken;
    if ((c > 0x20 && c < 0x7f) || high) in |= kTarget;
    if ((c >= 0x20 && c < 0x7f) || c == '\t' || high) in |= kValue;
    if (digit || letter ||
        (c && std::string_view("-._~:[]!$&'()*+;=%").find(static_cast<char>(c)) != std::string_view::npos))
      in |= kHost;
    if (digit) in |= kDigit;
    classes[static_cast<size_t>(c)] = in;
  }
  return classes;
}();

bool is(char c, uint8_t in) { return kClasses[static_cast<uint8_t>(c)] & in; }

const char *skip(const char *at, uint8_t in) {
  while (is(*at, in)) ++at;
  return at;
}

// Passes over whole words that hold nothing below `least` and no DEL. skip() goes on from there.
template <uint64_t least>
const char *skip_words(const char *at, const char *end) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 0x80 * kOnes;
  for (; end - at >= 8; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    const uint64_t del = word ^ 0x7f * kOnes;
    if ((((word - least * kOnes) & ~word) | ((del - kOnes) & ~del)) & kHigh) break;
  }
  return at;
}

rl_view between(const char *from, const char *to) { return {from, static_cast<uint32_t>(to - from)}; }

bool equals_lower(rl_view text, std::string_view lower) {
  if (text.size != lower.size()) return false;
  for (uint32_t i = 0; i < text.size; i++) {
    const char c = text.data[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c) != lower[i]) return false;
  }
  return true;
}

bool same_host(rl_view a, rl_view b) {
  if (a.size != b.size) return false;
  for (uint32_t i = 0; i < a.size; i++) {
    const char x = a.data[i], y = b.data[i];
    const bool letter = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z');
    if (x != y && !(letter && (x ^ y) == 0x20)) return false;
  }
  return true;
}

bool all_of(rl_view text, uint8_t in) {
  for (uint32_t i = 0; i < text.size; i++) {
    if (!is(text.data[i], in)) return false;
  }
  return true;
}

// The tokens of a list, blanks around them dropped: calls f(token) for each.
template <typename F>
void each_token(rl_view list, F f) {
  const char *at = list.data, *end = at + list.size;
  while (at < end) {
    const char *comma = static_cast<const char *>(std::memchr(at, ',', static_cast<size_t>(end - at)));
    const char *stop = comma ? comma : end, *last = stop;
    while (at < last && (*at == ' ' || *at == '\t')) ++at;
    while (at < last && (last[-1] == ' ' || last[-1] == '\t')) --last;
    if (at < last) f(between(at, last));
    at = stop + 1;
  }
}

// What the fields say about the message as a whole.
struct Framing {
  Http1Head *head;
  HttpRefusal refusal{};
  rl_view authority{};  // of a target in absolute form
  bool has_host = false, has_length = false, has_coding = false, has_close = false, has_keep_alive = false;

  void refuse(uint16_t status, const char *why) {
    if (!refusal.status) refusal = {status, why};
  }
  void take(rl_view name, rl_view value);
  HttpRefusal finish();
};

void Framing::take(rl_view name, rl_view value) {
  switch (name.size) {
    case 4:
      if (equals(name, "host")) {
        if (has_host) return refuse(400, "Host: more than one");
        if (!all_of(value, kHost)) return refuse(400, "Host: not a host and port");
        has_host = true;
        head->host = value;
      }
      break;
    case 6:
      if (equals(name, "expect")) {
        if (!equals_lower(value, "100-continue")) return refuse(417, "Expect: only 100-continue can be met");
        head->expects_continue = true;
      }
      break;
    case 10:
      if (equals(name, "connection")) {
        each_token(value, [this](rl_view token) {
          has_close |= equals_lower(token, "close");
          has_keep_alive |= equals_lower(token, "keep-alive");
        });
      }
      break;
    case 14:
      if (equals(name, "content-length")) {
        if (has_length) return refuse(400, "Content-Length: more than one");
        has_length = true;
        if (value.size == 0 || value.size > 18 || !all_of(value, kDigit)) {
          return refuse(400, "Content-Length: not a whole number");
        }
        for (uint32_t i = 0; i < value.size; i++) {
          head->length = head->length * 10 + static_cast<uint64_t>(value.data[i] - '0');
        }
      }
      break;
    case 17:
      if (equals(name, "transfer-encoding")) {
        if (has_coding) return refuse(400, "Transfer-Encoding: more than one");
        has_coding = true;
        if (!equals_lower(value, "chunked")) return refuse(501, "Transfer-Encoding: only chunked is understood");
        head->chunked = true;
      }
      break;
    default:
      break;
  }
}

HttpRefusal Framing::finish() {
  if (has_length && has_coding) refuse(400, "Content-Length and Transfer-Encoding exclude each other");
  if (has_coding && head->minor == 0) refuse(400, "Transfer-Encoding: not in HTTP/1.0");
  if (!has_host && head->minor >= 1) refuse(400, "Host: missing");
  if (authority.size && has_host && !same_host(authority, head->host)) {
    refuse(400, "Host: differs from the authority of the request target");
  }
  if (authority.size && !has_host) head->host = authority;
  head->keep_alive = !has_close && (head->minor >= 1 || has_keep_alive);
  if (head->minor == 0) head->expects_continue = false;  // RFC 9110 10.1.1
  return refusal;
}

// "http://authority/path" into its two parts; a target in any other form but the origin's is refused.
bool split_target(rl_view target, rl_view *authority, rl_view *path) {
  const std::string_view text = to_string_view(target);
  if (text[0] == '/') {
    *path = target;
    return true;
  }
  const bool secure = target.size >= 8 && equals_lower({target.data, 8}, "https://");
  if (!secure && !(target.size >= 7 && equals_lower({target.data, 7}, "http://"))) return false;
  const char *begin = target.data + (secure ? 8 : 7), *end = target.data + target.size;
  const char *slash = begin;
  while (slash < end && is(*slash, kHost)) ++slash;
  if (slash == begin || (slash < end && *slash != '/')) return false;
  *authority = between(begin, slash);
  *path = slash < end ? between(slash, end) : rl_view{"/", 1};
  return true;
}

// "METHOD target HTTP/1.x\r\n". Returns the next line; NULL: refused.
const char *read_request_line(const char *at, const char *end, Http1Head *head, Framing *framing) {
  const char *method_end = skip(at, kToken);
  head->method = between(at, method_end);
  if (method_end == at || *method_end != ' ') {
    framing->refuse(400, "the request line does not begin with a method");
    return nullptr;
  }
  if (head->method.size > kMaxMethod) {
    framing->refuse(501, "the method is too long");
    return nullptr;
  }
  const char *target = method_end + 1, *target_end = skip(skip_words<0x21>(target, end), kTarget);
  if (target_end == target || *target_end != ' ') {
    framing->refuse(400, "the request line has no request target, or not only one");
    return nullptr;
  }
  const char *version = target_end + 1;
  if (end - version < 10 || std::memcmp(version, "HTTP/", 5) != 0 || !is(version[5], kDigit) || version[6] != '.' ||
      !is(version[7], kDigit) || version[8] != '\r' || version[9] != '\n') {
    framing->refuse(400, "the request line does not end with an HTTP version");
    return nullptr;
  }
  if (version[5] != '1') {
    framing->refuse(505, "only HTTP/1.1 and HTTP/2 are spoken here");
    return nullptr;
  }
  head->minor = version[7] == '0' ? 0 : 1;
  if (!split_target(between(target, target_end), &framing->authority, &head->target)) {
    framing->refuse(400, "the request target is neither a path nor a URL");
    return nullptr;
  }
  return version + 10;
}

}  // namespace

int64_t find_head_end(rl_view bytes, size_t from) {
  const char *begin = bytes.data, *end = begin + bytes.size;
  for (const char *at = begin + from; at < end; ++at) {
    at = static_cast<const char *>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
    if (!at) break;
    if (at == begin || at[-1] != '\r') return kHeadBroken;
    if (at - begin >= 3 && at[-2] == '\n') return at - begin + 1;
  }
  return kHeadIncomplete;
}

// Every loop below stops at the CR of a line's end at the latest, and find_head_end has seen to it that there is one:
// no class but none holds CR and LF.
HttpRefusal parse_head(char *bytes, size_t size, rl_pair *fields, Http1Head *head) {
  *head = {};
  Framing framing{head};
  const char *end = bytes + size - 2;  // of the last line
  const char *line = read_request_line(bytes, end, head, &framing);
  if (!line) return framing.refusal;
  while (line < end) {
    char *name = bytes + (line - bytes), *colon = name;
    for (; is(*colon, kToken); ++colon) {
      if (*colon >= 'A' && *colon <= 'Z') *colon = static_cast<char>(*colon | 0x20);
    }
    if (*colon != ':' || colon == name) return {400, "a header line does not begin with a name and a colon"};
    const char *value = colon + 1;
    while (*value == ' ' || *value == '\t') ++value;
    const char *stop = skip(skip_words<0x20>(value, end), kValue), *last = stop;
    if (stop[0] != '\r' || stop[1] != '\n') return {400, "a header value holds a control character"};
    while (last > value && (last[-1] == ' ' || last[-1] == '\t')) --last;
    if (head->field_count == RL_MAX_HEADERS) return {431, "more than 256 header fields"};
    rl_pair *field = &fields[head->field_count++];
    *field = {between(name, colon), between(value, last)};
    framing.take(field->name, field->value);
    line = stop + 2;
  }
  return framing.finish();
}

}  // namespace rl
