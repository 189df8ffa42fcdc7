#include "wire/json.h"

#include <cstring>

#include "wire/decode.h"

namespace rl {
const char JsonReader::kNotJson[] = "the message is not well-formed JSON";

void JsonReader::skip_blanks() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
}

bool JsonReader::take(char c) {
  skip_blanks();
  if (at_ == end_ || *at_ != c) return false;
  ++at_;
  return true;
}

bool JsonReader::take_word(const char *word, uint32_t size) {
  skip_blanks();
  if (static_cast<size_t>(end_ - at_) < size || std::memcmp(at_, word, size) != 0) return false;
  at_ += size;
  return true;
}

bool JsonReader::enter(char bracket, const char *error) {
  if (!take(bracket)) {
    fail(error);
    return false;
  }
  first_ = true;
  return true;
}

bool JsonReader::next(char bracket) {
  const bool first = first_;
  first_ = false;
  if (failed() || take(bracket)) return false;
  if (!first && !take(',')) fail(kNotJson);
  return !failed();
}

bool JsonReader::next_member(rl_view *name) {
  if (!next('}')) return false;
  skip_blanks();
  if (at_ == end_ || *at_ != '"') {
    fail(kNotJson);
    return false;
  }
  *name = text();
  if (!failed() && !take(':')) fail(kNotJson);
  return !failed();
}

bool JsonReader::at_object() {
  skip_blanks();
  return at_ != end_ && *at_ == '{';
}

bool JsonReader::at_text() {
  skip_blanks();
  return at_ != end_ && *at_ == '"';
}

bool JsonReader::take_null() { return take_word("null", 4); }

bool JsonReader::flag() {
  if (take_word("true", 4)) return true;
  if (!take_word("false", 5)) fail("must be true or false");
  return false;
}

rl_view JsonReader::text() {
  if (!take('"')) {
    fail("must be a string");
    return {};
  }
  const char *begin = at_;
  for (; at_ != end_; ++at_) {
    const auto c = static_cast<uint8_t>(*at_);
    if (c == '"') return {begin, static_cast<uint32_t>(at_++ - begin)};
    if (c == '\\') return unescape(begin);
    if (c < 0x20) break;
  }
  fail(kNotJson);
  return {};
}

// The same from the first escape on: the text is rewritten.
rl_view JsonReader::unescape(const char *begin) {
  char *to = room_;
  room_ = static_cast<char *>(std::memcpy(room_, begin, static_cast<size_t>(at_ - begin))) + (at_ - begin);
  while (at_ != end_) {
    const char c = *at_++;
    if (c == '"') return {to, static_cast<uint32_t>(room_ - to)};
    if (static_cast<uint8_t>(c) < 0x20) break;
    if (c != '\\') {
      *room_++ = c;
    } else if (!read_escape()) {
      break;
    }
  }
  fail(kNotJson);
  return {};
}

bool JsonReader::read_escape() {
  if (at_ == end_) return false;
  constexpr char kEscapes[] = "\"\\/bfnrt", kMeant[] = "\"\\/\b\f\n\r\t";
  const char c = *at_++;
  if (c != 'u') {
    const char *found = c ? std::strchr(kEscapes, c) : nullptr;
    if (found) *room_++ = kMeant[found - kEscapes];
    return found != nullptr;
  }
  uint32_t unit = 0, low = 0;
  if (!read_hex(&unit)) return false;
  if (unit < 0xd800 || unit > 0xdfff) return put_utf8(unit), true;
  // A pair; half of one is no character.
  if (unit > 0xdbff || end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return false;
  at_ += 2;
  if (!read_hex(&low) || low < 0xdc00 || low > 0xdfff) return false;
  put_utf8(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
  return true;
}

bool JsonReader::read_hex(uint32_t *value) {
  if (end_ - at_ < 4) return false;
  *value = 0;
  for (int i = 0; i < 4; i++) {
    const char c = *at_++;
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9') {
      *value = *value << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      *value = *value << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return false;
    }
  }
  return true;
}

void JsonReader::put_utf8(uint32_t c) {
  auto put = [this](uint32_t byte) { *room_++ = static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 63));
    }
    put(0x80 | (c >> 6 & 63));
  }
  put(0x80 | (c & 63));
}

uint32_t JsonReader::number() {
  skip_blanks();
  rl_view digits;
  if (at_ != end_ && *at_ == '"') {
    digits = text();
  } else {
    const char *begin = at_;
    while (at_ != end_ &&
           ((*at_ >= '0' && *at_ <= '9') || *at_ == '-' || *at_ == '+' || *at_ == '.' || *at_ == 'e' || *at_ == 'E')) {
      ++at_;
    }
    digits = {begin, static_cast<uint32_t>(at_ - begin)};
  }
  uint32_t value = 0;
  const bool padded = digits.size > 1 && digits.data[0] == '0';
  if (!padded && parse_decimal(digits, &value)) return value;
  fail("must be a whole number from 0 to 4294967295");
  return 0;
}

void JsonReader::finish() {
  skip_blanks();
  if (at_ != end_) fail(kNotJson);
}

}  // namespace rl
