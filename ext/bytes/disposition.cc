#include "bytes/disposition.h"

#include <cstring>

#include "bytes/ascii.h"

namespace rl {
namespace {

bool is_word(rl_view text, const char *word) {
  return text.size == std::strlen(word) && std::memcmp(text.data, word, text.size) == 0;
}

bool is_token(char c) {
  return static_cast<uint8_t>(c) > 32 && static_cast<uint8_t>(c) < 127 && !std::strchr("()<>@,;:\\\"/[]?=", c);
}

bool is_one_of(char c, const char *set) { return c != 0 && std::strchr(set, c) != nullptr; }

class Disposition {
 public:
  Disposition(rl_view value, char **room, DispositionSink *sink)
      : at_(value.data), end_(value.data + value.size), room_(room), sink_(sink) {}

  bool read(rl_view *name, rl_view *filename) {
    static const char type[] = "form-data";
    if (end_ - at_ < 9 || std::memcmp(at_, type, 9) != 0) return false;
    at_ += 9;
    skip_blanks();
    if (at_ == end_) return true;
    if (*at_++ != ';') return false;
    bool starred = false;
    while (at_ < end_) {
      if (!parameter(name, filename, &starred)) return false;
    }
    return !starred || filename->size > 0;
  }

 private:
  void skip_blanks() {
    while (at_ < end_ && is_blank(*at_)) ++at_;
  }

  // "name = value" and the semicolon behind it.
  bool parameter(rl_view *name, rl_view *filename, bool *starred) {
    skip_blanks();
    const char *begin = at_;
    while (at_ < end_ && *at_ != '=' && !is_blank(*at_)) ++at_;
    rl_view key = {begin, static_cast<uint32_t>(at_ - begin)};
    skip_blanks();
    if (at_ == end_ || *at_++ != '=') return false;
    skip_blanks();
    if (at_ == end_) return false;
    rl_view value;
    if (is_word(key, "filename*")) {
      if (!extended(&value) || *starred) return false;
      *starred = value.size > 0;
      return separator();
    }
    bool is_name = is_word(key, "name"), is_filename = is_word(key, "filename");
    bool quoted = *at_ == '"';
    if (!plain(&value) || !(is_name || is_filename)) return false;
    if (!quoted && value.size > 0 && std::memchr(value.data, '\'', value.size)) sink_->invalid_quoting();
    sink_->parameter(is_filename, value);
    rl_view *target = is_filename ? filename : name;
    if (target->size > 0) return false;
    *target = value;
    return separator();
  }

  bool separator() {
    if (at_ == end_) return true;
    skip_blanks();
    if (at_ == end_) return true;
    if (*at_ != ';') {
      if (at_[-1] == '\'' || at_[-1] == '"') sink_->invalid_quoting();
      return false;
    }
    ++at_;
    return true;
  }

  bool plain(rl_view *value) {
    if (*at_ == '"' || *at_ == '\'') return quoted(value);
    const char *begin = at_;
    while (at_ < end_ && is_token(*at_)) ++at_;
    *value = {begin, static_cast<uint32_t>(at_ - begin)};
    return true;
  }

  // Single quotes are let pass, and told. A backslash escapes the quote and itself, and is a byte like others
  // elsewhere.
  bool quoted(rl_view *value) {
    char quote = *at_++;
    if (quote == '\'') sink_->invalid_quoting();
    if (at_ == end_) return false;
    const char *begin = at_;
    char *to = *room_, *first = to;
    while (at_ < end_ && *at_ != quote) {
      if (*at_ == '\\') {
        if (end_ - at_ == 1) return false;
        if (at_[1] == quote || at_[1] == '\\') ++at_;
      }
      *to++ = *at_++;
    }
    uint32_t size = static_cast<uint32_t>(to - first);
    if (size == static_cast<uint32_t>(at_ - begin)) {
      *value = {begin, size};
    } else {
      *value = {first, size};
      *room_ = to;
    }
    if (at_ == end_) {  // never closed
      sink_->invalid_quoting();
      return false;
    }
    ++at_;
    return true;
  }

  // charset'language'percent-encoded (RFC 5987); not decoded, for nothing is made of it.
  bool extended(rl_view *value) {
    const char *begin = at_;
    while (at_ < end_ && (is_alnum(*at_) || is_one_of(*at_, "!#$%&+-^_`{}~"))) ++at_;
    if (at_ == begin || at_ == end_ || *at_ != '\'') return false;
    ++at_;
    while (at_ < end_ && *at_ != '\'') ++at_;
    if (at_ == end_) return false;
    begin = ++at_;
    while (at_ < end_ && *at_ != ';') {
      if (*at_ == '%') {
        if (end_ - at_ < 3 || hex_byte(at_ + 1) < 0) return false;
        at_ += 3;
      } else if (is_alnum(*at_) || is_one_of(*at_, "!#$&+-.^_`~")) {
        ++at_;
      } else {
        return false;
      }
    }
    *value = {begin, static_cast<uint32_t>(at_ - begin)};
    return true;
  }

  const char *at_, *end_;
  char **room_;
  DispositionSink *sink_;
};

}  // namespace

bool read_disposition(rl_view value, char **room, rl_view *name, rl_view *filename, DispositionSink *sink) {
  return Disposition(value, room, sink).read(name, filename);
}

}  // namespace rl
