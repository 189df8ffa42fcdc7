#include "bytes/json.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

enum State : uint8_t { kValue, kFirstKey, kKey, kFirstElement, kAfter, kFailed };

class JsonReader {
 public:
  explicit JsonReader(rl_json *self) : self_(*self) {}

  int next(rl_pair *leaf) {
    for (;;) {
      skip_space();
      int result;
      switch (self_.state) {
        case kValue:
          result = value(leaf);
          break;
        case kFirstKey:
          if (peek() == '}') return close_empty(leaf);
          [[fallthrough]];
        case kKey:
          result = key();
          break;
        case kFirstElement:
          if (peek() == ']') return close_empty(leaf);
          self_.state = kValue;
          continue;
        case kAfter:
          if (self_.depth == 0) return self_.at == self_.text.size ? RL_JSON_END : fail(self_.at);
          result = separator();
          break;
        default:
          return RL_JSON_INVALID;
      }
      if (result != kGoOn) return result;
    }
  }

 private:
  static constexpr int kGoOn = 2;

  int peek() const { return self_.at < self_.text.size ? static_cast<uint8_t>(self_.text.data[self_.at]) : -1; }

  int fail(uint32_t at, int error = RL_JSON_INVALID) {
    self_.at = at;
    self_.state = kFailed;
    return error;
  }

  void skip_space() {
    for (int c = peek(); c == ' ' || c == '\n' || c == '\r' || c == '\t'; c = peek()) ++self_.at;
  }

  int emit(rl_view value, rl_pair *leaf) {
    leaf->name = {self_.path, self_.path_size};
    leaf->value = value;
    self_.state = kAfter;
    return RL_JSON_LEAF;
  }

  int value(rl_pair *leaf) {
    uint32_t begin = self_.at;
    int c = peek();
    if (c == '{' || c == '[') return open(c == '[');
    rl_view text;
    if (c == '"') {
      if (!string(&text)) return fail(begin);
      return emit(text, leaf);
    }
    if (!scalar()) return fail(begin);
    return emit({self_.text.data + begin, self_.at - begin}, leaf);
  }

  int open(bool array) {
    if (self_.depth == RL_JSON_DEPTH) return fail(self_.at, RL_JSON_DEEP);
    self_.marks[self_.depth] = self_.path_size;
    self_.arrays[self_.depth] = array;
    ++self_.depth;
    ++self_.at;
    self_.state = array ? kFirstElement : kFirstKey;
    return kGoOn;
  }

  int close_empty(rl_pair *leaf) {
    ++self_.at;
    self_.path_size = self_.marks[--self_.depth];
    return emit({nullptr, 0}, leaf);
  }

  // A key and its colon: the key joins the name. Its quotes in the text are the room for the dot.
  int key() {
    uint32_t begin = self_.at;
    rl_view name;
    if (peek() != '"' || !string(&name)) return fail(begin);
    skip_space();
    if (peek() != ':') return fail(begin);
    ++self_.at;
    self_.path_size = self_.marks[self_.depth - 1];
    if (self_.path_size > 0) self_.path[self_.path_size++] = '.';
    std::memcpy(self_.path + self_.path_size, name.data, name.size);
    self_.path_size += name.size;
    self_.state = kValue;
    return kGoOn;
  }

  int separator() {
    bool array = self_.arrays[self_.depth - 1];
    int c = peek();
    if (c == ',') {
      ++self_.at;
      self_.path_size = self_.marks[self_.depth - 1];
      self_.state = array ? kValue : kKey;
      return kGoOn;
    }
    if (c != (array ? ']' : '}')) return fail(self_.at);
    ++self_.at;
    self_.path_size = self_.marks[--self_.depth];
    return kGoOn;
  }

  // At a quote: reads behind the closing one. Unescaped only when it must be.
  bool string(rl_view *out) {
    const char *text = self_.text.data;
    uint32_t begin = ++self_.at, end = self_.text.size;
    while (self_.at < end && text[self_.at] != '"' && text[self_.at] != '\\') ++self_.at;
    if (self_.at == end) return false;
    if (text[self_.at] == '"') {
      *out = {text + begin, self_.at - begin};
      ++self_.at;
      return true;
    }
    char *to = self_.strings + self_.strings_size, *first = to;
    std::memcpy(to, text + begin, self_.at - begin);
    to += self_.at - begin;
    while (self_.at < end && text[self_.at] != '"') {
      if (text[self_.at] != '\\') {
        *to++ = text[self_.at++];
      } else if (!escape(&to)) {
        return false;
      }
    }
    if (self_.at == end) return false;
    ++self_.at;
    *out = {first, static_cast<uint32_t>(to - first)};
    self_.strings_size += out->size;
    return true;
  }

  bool escape(char **to) {
    if (self_.text.size - self_.at < 2) return false;
    char c = self_.text.data[self_.at + 1];
    if (c == 'u') return unicode(to);
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *found = static_cast<const char *>(std::memchr(names, c, sizeof names - 1));
    if (!found) return false;
    *(*to)++ = bytes[found - names];
    self_.at += 2;
    return true;
  }

  // The code unit of \uHHHH at `at`, or -1.
  int code_unit(uint32_t at) const {
    if (self_.text.size - at < 6 || self_.text.data[at] != '\\' || self_.text.data[at + 1] != 'u') return -1;
    int high = hex_byte(self_.text.data + at + 2), low = hex_byte(self_.text.data + at + 4);
    return (high | low) < 0 ? -1 : high << 8 | low;
  }

  bool unicode(char **to) {
    int first = code_unit(self_.at);
    if (first < 0) return false;
    uint32_t code = static_cast<uint32_t>(first);
    self_.at += 6;
    if (code >= 0xd800 && code < 0xe000) {
      int second = code < 0xdc00 ? code_unit(self_.at) : -1;
      if (second >= 0xdc00 && second < 0xe000) {
        code = 0x10000 + ((code & 0x3ff) << 10 | (static_cast<uint32_t>(second) & 0x3ff));
        self_.at += 6;
      } else {
        code = 0xfffd;  // half a pair stands for nothing
      }
    }
    *to = write_utf8(*to, code);
    return true;
  }

  static char *write_utf8(char *to, uint32_t code) {
    if (code < 0x80) {
      *to++ = static_cast<char>(code);
      return to;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = static_cast<char>(lead[more] | code >> (6 * more));
    while (more-- > 0) *to++ = static_cast<char>(0x80 | (code >> (6 * more) & 0x3f));
    return to;
  }

  bool scalar() {
    for (const char *word : {"true", "false", "null"}) {
      uint32_t size = static_cast<uint32_t>(std::strlen(word));
      if (self_.text.size - self_.at >= size && std::memcmp(self_.text.data + self_.at, word, size) == 0) {
        self_.at += size;
        return true;
      }
    }
    return number();
  }

  bool digits() {
    uint32_t begin = self_.at;
    while (peek() >= '0' && peek() <= '9') ++self_.at;
    return self_.at > begin;
  }

  bool number() {
    if (peek() == '-') ++self_.at;
    bool zero = peek() == '0';
    uint32_t begin = self_.at;
    if (!digits() || (zero && self_.at > begin + 1)) return false;
    if (peek() == '.') {
      ++self_.at;
      if (!digits()) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++self_.at;
      if (peek() == '+' || peek() == '-') ++self_.at;
      if (!digits()) return false;
    }
    return true;
  }

  rl_json &self_;
};

}  // namespace
}  // namespace rl

void rl_json_start(rl_json *reader, rl_view text, char *buffer) {
  *reader = {};
  reader->text = text;
  reader->path = buffer;
  reader->strings = buffer + text.size;
  reader->state = rl::kValue;
  if (text.size >= 3 && std::memcmp(text.data, "\xef\xbb\xbf", 3) == 0) reader->at = 3;
}

int rl_json_next(rl_json *reader, rl_pair *leaf) { return rl::JsonReader(reader).next(leaf); }
