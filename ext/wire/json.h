// A bounds-checked reader of JSON (RFC 8259), pulled along by whoever knows what should come. Nothing is allocated, and
// nothing is passed over: what nobody asked for is an error, so depth is what the caller makes of it.
//
// After the first error the reader is at its end, and what it returns is empty.
#pragma once
#include <cstdint>

#include "core/view.h"

namespace rl {

class JsonReader {
 public:
  // room: where texts with escapes are written, text.size bytes in all.
  JsonReader(rl_view text, char *room) : at_(text.data), end_(text.data + text.size), room_(room) {}

  // Of a text that is broken as a whole; every other error is about the value that was asked for.
  static const char kNotJson[];

  bool failed() const { return error_ != nullptr; }
  // What the text is not: static.
  const char *error() const { return error_; }
  void fail(const char *why) {
    if (!error_) error_ = why;
    at_ = end_;
  }

  // The next value is an object or a list, and is entered. Then next_member() or next_item() until they are false.
  bool enter_object() { return enter('{', "must be an object"); }
  bool enter_list() { return enter('[', "must be a list"); }
  bool next_member(rl_view *name);
  bool next_item() { return next(']'); }

  bool at_object();  // is the next value one?
  bool at_text();

  // The next value.
  bool take_null();  // if it is null
  rl_view text();
  bool flag();
  // A whole number up to 2^32 - 1, or its decimal digits as a string.
  uint32_t number();
  // Nothing but blanks may follow.
  void finish();

  // Where texts may go on being written.
  char *room() const { return room_; }
  void use_room(char *to) { room_ = to; }

 private:
  void skip_blanks();
  bool enter(char bracket, const char *error);
  bool next(char bracket);
  bool take(char c);
  bool take_word(const char *word, uint32_t size);
  rl_view unescape(const char *begin);
  bool read_escape();
  bool read_hex(uint32_t *value);
  void put_utf8(uint32_t c);

  const char *at_, *end_;
  char *room_;
  const char *error_ = nullptr;
  bool first_ = false;  // the object or list has just been entered
};

}  // namespace rl
