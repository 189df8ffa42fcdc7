#include "wire/struct_json.h"

#include <charconv>
#include <cmath>

#include "wire/protobuf.h"

namespace rl {
namespace {

// Policies are no deeper.
enum : int { kMaxDepth = 64 };

struct Field {
  rl_view key, value;
};

bool next_field(ProtoReader *reader, Field *out) {
  while (reader->next()) {
    if (reader->tag() != tag_of(1, kBytes)) {
      reader->skip();
      continue;
    }
    *out = {};
    return read_entry(reader->bytes(), &out->key, &out->value);
  }
  return false;
}

bool has_key(rl_view fields, rl_view key) {
  ProtoReader reader(fields);
  Field field;
  while (next_field(&reader, &field)) {
    if (equals(field.key, to_string_view(key))) return true;
  }
  return false;
}

char *write_number(char *to, uint64_t bits) {
  double number;
  std::memcpy(&number, &bits, sizeof number);
  if (!std::isfinite(number)) return copy(to, std::string_view("null"));
  return std::to_chars(to, to + 32, number).ptr;
}

char *write_value(char *to, rl_view value, int depth);

char *write_list(char *to, rl_view items, int depth) {
  ProtoReader reader(items);
  bool first = true;
  *to++ = '[';
  while (reader.next()) {
    if (reader.tag() != tag_of(1, kBytes)) {
      reader.skip();
      continue;
    }
    if (!first) *to++ = ',';
    first = false;
    to = write_value(to, reader.bytes(), depth);
  }
  *to++ = ']';
  return to;
}

char *write_fields(char *to, const rl_view *structs, uint32_t count, int depth) {
  bool first = true;
  *to++ = '{';
  for (uint32_t at = 0; at < count; at++) {
    ProtoReader reader(structs[at]);
    Field field;
    while (next_field(&reader, &field)) {
      bool again = false;
      for (uint32_t later = at + 1; later < count && !again; later++) again = has_key(structs[later], field.key);
      if (again) continue;
      if (!first) *to++ = ',';
      first = false;
      to = write_json_string(to, field.key);
      *to++ = ':';
      to = write_value(to, field.value, depth);
    }
  }
  *to++ = '}';
  return to;
}

char *write_value(char *to, rl_view value, int depth) {
  ProtoReader reader(value);
  if (depth == kMaxDepth || !reader.next()) return copy(to, std::string_view("null"));
  switch (reader.tag()) {
    case tag_of(2, kFixed64):
      return write_number(to, reader.fixed64());
    case tag_of(3, kBytes):
      return write_json_string(to, reader.bytes());
    case tag_of(4, kVarint):
      return copy(to, std::string_view(reader.varint() ? "true" : "false"));
    case tag_of(5, kBytes): {
      const rl_view fields = reader.bytes();
      return write_fields(to, &fields, 1, depth + 1);
    }
    case tag_of(6, kBytes):
      return write_list(to, reader.bytes(), depth + 1);
    default:
      return copy(to, std::string_view("null"));
  }
}

}  // namespace

char *write_structs_json(char *to, const rl_view *structs, uint32_t count) {
  return write_fields(to, structs, count, 0);
}

}  // namespace rl
