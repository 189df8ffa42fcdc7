// Writes JSON at a place with room for all of it. In protobuf's JSON mapping: what has its default is left out.
#pragma once
#include <algorithm>

#include "wire/protobuf.h"
#include "wire/text.h"

namespace rl {

// Room for a text as a JSON string.
inline size_t json_text_room(rl_view text) { return 6 * std::min<size_t>(text.size, kMaxText) + 2; }

struct JsonWriter {
  char *at;
  bool first = true;

  void name(std::string_view key) {
    if (!first) *at++ = ',';
    first = false;
    *at++ = '"';
    at = copy(copy(at, key), std::string_view("\":"));
  }
  void constant(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    name(key);
    *at++ = '"';
    at = copy(at, value);
    *at++ = '"';
  }
  void text(std::string_view key, rl_view value) {
    if (value.size == 0) return;
    name(key);
    at = write_json_string(at, clip_utf8(value, kMaxText));
  }
  void number(std::string_view key, uint32_t value) {
    if (value == 0) return;
    name(key);
    at = write_decimal(at, value);
  }
  // 64 bits are more than a JSON number holds everywhere.
  void large_number(std::string_view key, uint64_t value) {
    if (value == 0) return;
    name(key);
    *at++ = '"';
    at = write_decimal(at, value);
    *at++ = '"';
  }
  void flag(std::string_view key, bool value) {
    if (!value) return;
    name(key);
    at = copy(at, std::string_view("true"));
  }
  void begin(char bracket) {
    *at++ = bracket;
    first = true;
  }
  void end(char bracket) {
    *at++ = bracket;
    first = false;
  }
  // An object within a list.
  void begin_item() {
    if (!first) *at++ = ',';
    begin('{');
  }
};

}  // namespace rl
