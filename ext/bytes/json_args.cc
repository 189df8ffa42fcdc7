#include "bytes/json_args.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

enum State : uint8_t { kStart, kValue, kFirstKey, kKey, kFirstElement, kAfter, kDone };

constexpr char kRoot[] = "json", kEmptyKey[] = "empty-key", kArray[] = ".array_";
constexpr uint32_t kRootSize = sizeof kRoot - 1, kEmptyKeySize = sizeof kEmptyKey - 1, kArraySize = sizeof kArray - 1;
// What a level may add to a path beyond its own bytes in the text: ".array_4294967295" or ".empty-key".
constexpr uint32_t kLevelRoom = kArraySize + 10;

class JsonArgs {
 public:
  explicit JsonArgs(rl_json_args *self) : self_(*self), text_(self->text.data), size_(self->text.size) {}

  int next(rl_pair *leaf) {
    for (;;) {
      skip_space();
      int result;
      switch (self_.state) {
        case kStart:
          if (size_ == 0) return end(RL_JSON_ARGS_END);
          result = value(leaf);
          break;
        case kValue:
          result = value(leaf);
          break;
        case kFirstKey:
          result = peek() == '}' ? close() : key();
          break;
        case kKey:
          result = key();
          break;
        case kFirstElement:
          result = peek() == ']' ? close() : value(leaf);
          break;
        case kAfter:
          if (self_.depth == 0) return end(at_end() ? RL_JSON_ARGS_END : RL_JSON_ARGS_INVALID);
          result = separator();
          break;
        default:
          return self_.result;
      }
      if (result == kGoOn) continue;
      return result < 0 ? end(result) : result;
    }
  }

 private:
  static constexpr int kGoOn = 2;

  // Behind the value nothing may follow; but YAJL does not see a string that is never closed.
  bool at_end() {
    if (peek() == '"') {
      ++self_.at;
      rl_view text;
      scan_string(&text);
    }
    return self_.at == size_;
  }

  int peek() const { return self_.at < size_ ? static_cast<uint8_t>(text_[self_.at]) : -1; }

  int end(int result) {
    self_.state = kDone;
    self_.result = static_cast<int8_t>(result);
    return result;
  }

  void skip_space() {
    while (self_.at < size_ && is_space(text_[self_.at])) ++self_.at;
  }

  int emit(rl_view value, rl_pair *leaf) {
    if (self_.path_size > self_.names_left) return RL_JSON_ARGS_WORDY;
    self_.names_left -= self_.path_size;
    leaf->name = {self_.path, self_.path_size};
    leaf->value = value;
    self_.state = kAfter;
    return RL_JSON_ARGS_LEAF;
  }

  int value(rl_pair *leaf) {
    int c = peek();
    if (in_array()) name_element();
    if (c == '{' || c == '[') return open(c == '[');
    uint32_t begin = self_.at;
    rl_view text;
    if (c == '"') return string(&text) ? emit(text, leaf) : RL_JSON_ARGS_INVALID;
    if (word("null")) return emit({text_ + begin, 0}, leaf);
    if (!word("true") && !word("false") && !number()) return RL_JSON_ARGS_INVALID;
    return emit({text_ + begin, self_.at - begin}, leaf);
  }

  bool in_array() const { return self_.depth > 0 && self_.levels[self_.depth - 1].array; }

  void append(const char *data, uint32_t size) {
    std::memcpy(self_.path + self_.path_size, data, size);
    self_.path_size += size;
  }

  void name_element() {
    rl_json_level &level = self_.levels[self_.depth - 1];
    self_.path_size = level.path_size;
    append(kArray, kArraySize);
    char digits[10];
    uint32_t count = 0, index = level.index++;
    do {
      digits[count++] = static_cast<char>('0' + index % 10);
      index /= 10;
    } while (index > 0);
    while (count > 0) append(&digits[--count], 1);
  }

  int open(bool array) {
    if (self_.depth == self_.depth_limit) return RL_JSON_ARGS_DEEP;
    self_.levels[self_.depth++] = {self_.path_size, 0, array};
    ++self_.at;
    self_.state = array ? kFirstElement : kFirstKey;
    return kGoOn;
  }

  int close() {
    ++self_.at;
    --self_.depth;
    self_.state = kAfter;
    return kGoOn;
  }

  // A key and its colon: the key joins the name.
  int key() {
    rl_view name;
    char *strings = self_.strings;
    if (peek() != '"' || !string(&name)) return RL_JSON_ARGS_INVALID;
    skip_space();
    if (peek() != ':') return RL_JSON_ARGS_INVALID;
    ++self_.at;
    self_.path_size = self_.levels[self_.depth - 1].path_size;
    append(".", 1);
    append(name.size > 0 ? name.data : kEmptyKey, name.size > 0 ? name.size : kEmptyKeySize);
    self_.strings = strings;  // the path has its own copy
    self_.state = kValue;
    return kGoOn;
  }

  int separator() {
    bool array = in_array();
    int c = peek();
    if (c == (array ? ']' : '}')) return close();
    if (c != ',') return RL_JSON_ARGS_INVALID;
    ++self_.at;
    self_.state = array ? kValue : kKey;
    return kGoOn;
  }

  // At a quote: reads behind the closing one. Unescaped only when it must be.
  bool string(rl_view *out) {
    ++self_.at;
    bool escaped = scan_string(out);
    if (peek() != '"') return false;
    ++self_.at;
    if (escaped) *out = unescape(*out);
    return true;
  }

  // Reads on to the closing quote, or as far as a string goes. True when it has escapes.
  bool scan_string(rl_view *out) {
    uint32_t begin = self_.at;
    bool escaped = false;
    while (self_.at < size_ && text_[self_.at] != '"') {
      uint32_t unit = string_unit();
      if (unit == 0) break;
      if (text_[self_.at] == '\\') escaped = true;
      self_.at += unit;
    }
    *out = {text_ + begin, self_.at - begin};
    return escaped;
  }

  // Bytes of the character or escape at `at`; 0 for what must not stand in a string. Like YAJL's check of UTF-8, this
  // one looks at the lengths only: overlong forms and surrogates pass.
  uint32_t string_unit() const {
    uint32_t left = size_ - self_.at;
    const char *here = text_ + self_.at;
    uint8_t c = static_cast<uint8_t>(*here);
    if (c == '\\') return escape_size(here, left);
    if (c < 0x20) return 0;
    if (c < 0x80) return 1;
    uint32_t more = c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : left;
    if (more >= left) return 0;
    for (uint32_t i = 1; i <= more; ++i) {
      if (static_cast<uint8_t>(here[i]) >> 6 != 2) return 0;
    }
    return more + 1;
  }

  static uint32_t escape_size(const char *here, uint32_t left) {
    if (left < 2) return 0;
    if (here[1] != 'u') return std::memchr("\"\\/bfnrt", here[1], 8) ? 2 : 0;
    return left >= 6 && hex_byte(here + 2) >= 0 && hex_byte(here + 4) >= 0 ? 6 : 0;
  }

  rl_view unescape(rl_view raw) {
    char *first = self_.strings, *to = first;
    for (uint32_t i = 0; i < raw.size;) {
      if (raw.data[i] != '\\' || i + 1 == raw.size) {
        *to++ = raw.data[i++];
      } else if (raw.data[i + 1] == 'u') {
        i = unicode(raw, i + 2, &to);
      } else {
        static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
        const void *found = std::memchr(names, raw.data[i + 1], sizeof names - 1);
        *to++ = found ? bytes[static_cast<const char *>(found) - names] : raw.data[i + 1];
        i += 2;
      }
    }
    self_.strings = to;
    return {first, static_cast<uint32_t>(to - first)};
  }

  // The four digits of \uHHHH from i on, or -1. They are missing only where half a pair has eaten a backslash.
  static int code_unit(rl_view raw, uint32_t i) {
    if (raw.size < i || raw.size - i < 4) return -1;
    int high = hex_byte(raw.data + i), low = hex_byte(raw.data + i + 2);
    return (high | low) < 0 ? -1 : high << 8 | low;
  }

  // Behind "\u": writes the character, returns where to go on. As in YAJL, the first half of a pair without a second
  // one becomes "?" and takes the next byte with it, and any escape may be the second half.
  static uint32_t unicode(rl_view raw, uint32_t i, char **to) {
    int first = code_unit(raw, i);
    if (first < 0) {
      *(*to)++ = '?';
      return i;
    }
    uint32_t code = static_cast<uint32_t>(first);
    i += 4;
    if ((code & 0xfc00) == 0xd800) {
      bool paired = raw.size - i >= 2 && raw.data[i] == '\\' && raw.data[i + 1] == 'u';
      int second = paired ? code_unit(raw, i + 2) : -1;
      if (second < 0) {
        *(*to)++ = '?';
        return i < raw.size ? i + 1 : i;
      }
      code = ((code & 0x3f) << 10 | ((code >> 6 & 0xf) + 1) << 16 | (static_cast<uint32_t>(second) & 0x3ff));
      i += 6;
    }
    *to = write_utf8(*to, code);
    return i;
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

  bool word(const char *word) {
    uint32_t size = static_cast<uint32_t>(std::strlen(word));
    if (size_ - self_.at < size || std::memcmp(text_ + self_.at, word, size) != 0) return false;
    self_.at += size;
    return true;
  }

  bool digits() {
    uint32_t begin = self_.at;
    while (self_.at < size_ && is_digit(text_[self_.at])) ++self_.at;
    return self_.at > begin;
  }

  // What follows a leading zero is left to the caller: no digit can.
  bool number() {
    if (peek() == '-') ++self_.at;
    if (peek() == '0') {
      ++self_.at;
    } else if (!digits()) {
      return false;
    }
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

  rl_json_args &self_;
  const char *text_;
  uint32_t size_;
};

}  // namespace
}  // namespace rl

uint64_t rl_json_args_room(uint32_t text_size, uint32_t depth_limit) {
  uint64_t levels = depth_limit < text_size ? depth_limit : text_size;
  return 2 * static_cast<uint64_t>(text_size) + rl::kRootSize + (levels + 1) * rl::kLevelRoom;
}

void rl_json_args_start(rl_json_args *reader, rl_view text, char *buffer, rl_json_level *levels, uint32_t depth_limit,
                        uint64_t name_limit) {
  *reader = {};
  reader->text = text;
  reader->strings = buffer;
  reader->path = buffer + text.size;
  reader->levels = levels;
  reader->depth_limit = depth_limit;
  reader->names_left = name_limit;
  std::memcpy(reader->path, rl::kRoot, rl::kRootSize);
  reader->path_size = rl::kRootSize;
  reader->state = rl::kStart;
}

int rl_json_args_next(rl_json_args *reader, rl_pair *leaf) { return rl::JsonArgs(reader).next(leaf); }
